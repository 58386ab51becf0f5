// Two sessions take one lock after the other, round by round.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func main() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{"localhost:2379"}, DialTimeout: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	rounds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}

	s1, err := concurrency.NewSession(cli)
	if err != nil {
		log.Fatal(err)
	}
	defer s1.Close()
	s2, err := concurrency.NewSession(cli)
	if err != nil {
		log.Fatal(err)
	}
	defer s2.Close()
	for i := range rounds {
		fmt.Println("round", i)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		round(ctx, concurrency.NewMutex(s1, "/my-lock/"), concurrency.NewMutex(s2, "/my-lock/"))
		cancel()
	}
}

func round(ctx context.Context, m1, m2 *concurrency.Mutex) {
	if err := m1.Lock(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("acquired lock for s1")
	m2Locked := make(chan struct{})
	go func() {
		defer close(m2Locked)
		if err := m2.Lock(ctx); err != nil {
			log.Fatal(err)
		}
	}()
	if err := m1.Unlock(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("released lock for s1")
	<-m2Locked
	fmt.Println("acquired lock for s2")
	if err := m2.Unlock(ctx); err != nil {
		log.Fatal(err)
	}
}
