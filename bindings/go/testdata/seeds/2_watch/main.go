// Watches a key that another goroutine puts, deletes and puts again.
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

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	rch := cli.Watch(ctx, "q1mi")
	go change(cli)
	seen := 0
	for wresp := range rch {
		for _, ev := range wresp.Events {
			fmt.Printf("Type: %s Key:%s Value:%s\n", ev.Type, ev.Kv.Key, ev.Kv.Value)
			if seen++; seen == 3 {
				cancel()
			}
		}
	}
}

func change(cli *clientv3.Client) {
	if _, err := cli.Put(context.Background(), "q1mi", "dsb2"); err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Delete(context.Background(), "q1mi"); err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Put(context.Background(), "q1mi", "dsb3"); err != nil {
		log.Fatal(err)
	}
}
