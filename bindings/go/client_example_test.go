package etclite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "etclite")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cli, err := etclite.Open(dir + "/app.etcl")
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := cli.Put(ctx, "q1mi", "dsb"); err != nil {
		log.Fatal(err)
	}
	resp, err := cli.Get(ctx, "q1mi")
	if err != nil {
		log.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		fmt.Printf("%s:%s\n", kv.Key, kv.Value)
	}
	// Output: q1mi:dsb
}

// A program that was written for a server keeps its configuration but for the endpoint.
func ExampleNew() {
	cli, err := etclite.New(etclite.Config{Endpoints: []string{"memory:"}, DialTimeout: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cli.Endpoints(), cli.Close())
	// Output: [memory:] <nil>
}

func ExampleClient_watch() {
	cli, err := etclite.OpenMemory()
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	// Registered on return: nothing that follows is missed.
	watch := cli.Watch(ctx, "q1mi")
	go func() {
		cli.Put(ctx, "q1mi", "dsb2")
		cli.Delete(ctx, "q1mi")
		cli.Put(ctx, "q1mi", "dsb3")
	}()
	for seen := 0; seen < 3; {
		response := <-watch
		for _, ev := range response.Events {
			fmt.Printf("Type: %s Key:%s Value:%s\n", ev.Type, ev.Kv.Key, ev.Kv.Value)
			seen++
		}
	}
	// Output:
	// Type: PUT Key:q1mi Value:dsb2
	// Type: DELETE Key:q1mi Value:
	// Type: PUT Key:q1mi Value:dsb3
}

// A watch that starts below what is compacted is told from where on a new one is complete.
func ExampleClient_watchCompacted() {
	cli, err := etclite.OpenMemory()
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx := context.Background()
	for range 3 {
		cli.Put(ctx, "k", "v")
	}
	cli.Compact(ctx, 3)
	for response := range cli.Watch(ctx, "k", etclite.WithRev(2)) {
		if response.Err() == rpctypes.ErrCompacted {
			fmt.Println("go on from revision", response.CompactRevision)
		}
	}
	// Output: go on from revision 3
}

func ExampleClient_keepAlive() {
	cli, err := etclite.OpenMemory()
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	lease, err := cli.Grant(ctx, 5)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Put(ctx, "/nazha/", "dsb", etclite.WithLease(lease.ID)); err != nil {
		log.Fatal(err)
	}
	kept, err := cli.KeepAlive(ctx, lease.ID)
	if err != nil {
		log.Fatal(err)
	}
	// The channel need not be read; it is closed once the lease is gone.
	fmt.Println("ttl:", (<-kept).TTL)
	// Output: ttl: 5
}
