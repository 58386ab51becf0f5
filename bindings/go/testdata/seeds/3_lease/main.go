// Puts a key with a lease of five seconds: it is there after four, and gone after seven, by one event.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func main() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{"localhost:2379"}, DialTimeout: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	granted := time.Now()
	lease, err := cli.Grant(context.Background(), 5)
	if err != nil {
		log.Fatal(err)
	}
	put, err := cli.Put(context.Background(), "/nazha/", "dsb", clientv3.WithLease(lease.ID))
	if err != nil {
		log.Fatal(err)
	}

	time.Sleep(time.Until(granted.Add(4 * time.Second)))
	show(cli, "after 4 seconds")
	if time.Since(granted) > 5*time.Second {
		os.Exit(75)
	}

	ctx, cancel := context.WithDeadline(context.Background(), granted.Add(7*time.Second))
	defer cancel()
	for wresp := range cli.Watch(ctx, "/nazha/", clientv3.WithRev(put.Header.Revision+1)) {
		for _, ev := range wresp.Events {
			fmt.Printf("Type: %s Key:%s Value:%s, revision +%d\n", ev.Type, ev.Kv.Key, ev.Kv.Value, ev.Kv.ModRevision-put.Header.Revision)
		}
	}
	show(cli, "after 7 seconds")
}

func show(cli *clientv3.Client, when string) {
	resp, err := cli.Get(context.Background(), "/nazha/")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d keys\n", when, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		fmt.Printf("%s:%s\n", kv.Key, kv.Value)
	}
}
