package namespace_test

import (
	"context"
	"fmt"
	"log"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/namespace"
)

func Example() {
	cli, err := etclite.OpenMemory()
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	whole := cli.KV
	cli.KV = namespace.NewKV(cli.KV, "app/")
	cli.Watcher = namespace.NewWatcher(cli.Watcher, "app/")
	cli.Lease = namespace.NewLease(cli.Lease, "app/")

	ctx := context.Background()
	if _, err := cli.Put(ctx, "colour", "blue"); err != nil {
		log.Fatal(err)
	}
	resp, err := whole.Get(ctx, "app/colour")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s\n", resp.Kvs[0].Key, resp.Kvs[0].Value)
	// Output: app/colour blue
}
