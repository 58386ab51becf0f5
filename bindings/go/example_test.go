package etclite_test

import (
	"context"
	"fmt"
	"log"

	etclite "github.com/etclite/etclite/bindings/go"
)

func Example() {
	cli, err := etclite.OpenMemory() // etclite.Open("app.etcl") for a store on disk
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx := context.Background()

	watch := cli.Watch(ctx, "config/", etclite.WithPrefix())
	put, err := cli.Put(ctx, "config/colour", "blue")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Delete(ctx, "config/colour"); err != nil {
		log.Fatal(err)
	}
	past, err := cli.Get(ctx, "config/colour", etclite.WithRev(put.Header.Revision))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("it was %s\n", past.Kvs[0].Value)
	event := (<-watch).Events[0]
	fmt.Printf("%s %s=%s\n", event.Type, event.Kv.Key, event.Kv.Value)
	// Output:
	// it was blue
	// PUT config/colour=blue
}

// A put that must not overwrite anything.
func ExampleTxn() {
	cli, err := etclite.OpenMemory()
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	for _, value := range []string{"first", "second"} {
		resp, err := cli.Txn(context.Background()).
			If(etclite.Compare(etclite.CreateRevision("k"), "=", 0)).
			Then(etclite.OpPut("k", value)).
			Else(etclite.OpGet("k")).
			Commit()
		if err != nil {
			log.Fatal(err)
		}
		if resp.Succeeded {
			fmt.Printf("put %s\n", value)
		} else {
			fmt.Printf("there is %s\n", resp.Responses[0].GetResponseRange().Kvs[0].Value)
		}
	}
	// Output:
	// put first
	// there is first
}

func ExampleGetPrefixRangeEnd() {
	fmt.Printf("%q %q\n", etclite.GetPrefixRangeEnd("app/"), etclite.GetPrefixRangeEnd("\xff"))
	// Output: "app0" "\x00"
}
