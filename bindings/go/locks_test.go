//go:build linux

package etclite_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/concurrency"
)

// milvus-io/milvus#19147: blocked calls into C piled up operating system threads.
func TestB076TenThousandGoroutinesNeedFewThreads(t *testing.T) {
	const sessions, locks = 10, 334
	const each = sessions * locks
	ctx := context.Background()
	cli := etclite.Disk(t)
	var holders []*concurrency.Session
	for range sessions {
		session, err := concurrency.NewSession(cli)
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		holders = append(holders, session)
	}
	if _, err := cli.Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	before := etclite.Threads(t)
	release := etclite.Held(t)

	var running sync.WaitGroup
	var read atomic.Int64
	run := func(what func() error) {
		running.Add(1)
		go func() {
			defer running.Done()
			if err := what(); err != nil {
				t.Error(err)
			}
		}()
	}
	for i := range each {
		run(func() error {
			_, err := cli.Get(ctx, "k")
			read.Add(1)
			return err
		})
		run(func() error {
			_, err := cli.Put(ctx, fmt.Sprint("p", i), "v")
			return err
		})
		run(func() error {
			mutex := concurrency.NewMutex(holders[i%sessions], fmt.Sprint("lock", i/sessions))
			if err := mutex.Lock(ctx); err != nil {
				return err
			}
			return mutex.Unlock(ctx)
		})
	}
	etclite.AwaitHeld(t)
	// All who write wait, but for those whose commit it is: a batch at most.
	etclite.Eventually(t, "all reads are done, all writes and locks wait", func() bool {
		return read.Load() == each && cli.Queued() >= 2*each-1024
	})
	if more := etclite.Threads(t) - before; more > 16 {
		t.Errorf("%d more threads", more)
	}
	release()
	running.Wait()
	if more := etclite.Threads(t) - before; more > 16 {
		t.Errorf("%d more threads afterwards", more)
	}
}
