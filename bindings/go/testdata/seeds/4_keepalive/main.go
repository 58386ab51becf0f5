// Keeps a lease of five seconds alive: its key is there after more than two times five.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func main() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{"localhost:2379"}, DialTimeout: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	lease, err := cli.Grant(context.Background(), 5)
	if err != nil {
		log.Fatal(err)
	}
	granted := time.Now()
	if _, err := cli.Put(context.Background(), "/nazha/", "dsb", clientv3.WithLease(lease.ID)); err != nil {
		log.Fatal(err)
	}
	ch, err := cli.KeepAlive(context.Background(), lease.ID)
	if err != nil {
		log.Fatal(err)
	}
	for range 8 {
		ka, ok := <-ch
		if !ok {
			log.Fatal("the lease is gone")
		}
		fmt.Printf("ttl: %d\n", ka.TTL)
	}
	if time.Since(granted) < 10*time.Second {
		log.Fatal("renewed too often")
	}
	resp, err := cli.Get(context.Background(), "/nazha/")
	if err != nil {
		log.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		fmt.Printf("%s:%s\n", kv.Key, kv.Value)
	}
}
