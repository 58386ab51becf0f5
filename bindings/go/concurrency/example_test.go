package concurrency_test

import (
	"context"
	"fmt"
	"log"
	"strconv"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/concurrency"
)

func Example() {
	cli, err := etclite.OpenMemory()
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
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

	ctx := context.Background()
	m1, m2 := concurrency.NewMutex(s1, "/my-lock/"), concurrency.NewMutex(s2, "/my-lock/")
	fmt.Println("s1:", m1.Lock(ctx))
	fmt.Println("s2:", m2.TryLock(ctx))
	fmt.Println("s1:", m1.Unlock(ctx))
	fmt.Println("s2:", m2.Lock(ctx))
	// Output:
	// s1: <nil>
	// s2: mutex: Locked by another session
	// s1: <nil>
	// s2: <nil>
}

func ExampleElection() {
	cli, err := etclite.OpenMemory()
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	s, err := concurrency.NewSession(cli)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	ctx := context.Background()
	e := concurrency.NewElection(s, "scheduler")
	if err := e.Campaign(ctx, "10.0.0.1:80"); err != nil {
		log.Fatal(err)
	}
	leader, err := e.Leader(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s leads\n", leader.Kvs[0].Value)
	// Output: 10.0.0.1:80 leads
}

func ExampleNewSTM() {
	cli, err := etclite.OpenMemory()
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx := context.Background()
	for _, account := range []string{"from", "to"} {
		if _, err := cli.Put(ctx, account, "10"); err != nil {
			log.Fatal(err)
		}
	}
	_, err = concurrency.NewSTM(cli, func(s concurrency.STM) error {
		from, _ := strconv.Atoi(s.Get("from"))
		to, _ := strconv.Atoi(s.Get("to"))
		s.Put("from", strconv.Itoa(from-3))
		s.Put("to", strconv.Itoa(to+3))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	resp, err := cli.Get(ctx, "", etclite.WithPrefix())
	if err != nil {
		log.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		fmt.Printf("%s %s\n", kv.Key, kv.Value)
	}
	// Output:
	// from 7
	// to 13
}
