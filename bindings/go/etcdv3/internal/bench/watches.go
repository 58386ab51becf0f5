//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/internal/syncclock"
)

// idleWatches is how many threads many watches add to those that a process has, while nothing happens and when all are told.
type idleWatches struct {
	Before, Idle, Told int
}

// How long threads are counted for.
const settle = 300 * time.Millisecond

func measureIdle(s settings, store string) (idleWatches, error) {
	var counts idleWatches
	c, err := etclite.Open(store)
	if err != nil {
		return counts, err
	}
	defer c.Close()
	ctx := context.Background()
	if _, err := c.Put(ctx, "key", "value"); err != nil {
		return counts, err
	}
	counts.Before = mostThreads(settle)
	var watches []etclite.WatchChan
	for range s.watches {
		watches = append(watches, c.Watch(ctx, "key"))
	}
	counts.Idle = mostThreads(settle)
	if _, err := c.Put(ctx, "key", "value"); err != nil {
		return counts, err
	}
	for _, watch := range watches {
		if told, ok := <-watch; !ok || told.Err() != nil {
			return counts, fmt.Errorf("a watch has ended: %w", told.Err())
		}
	}
	counts.Told = mostThreads(settle)
	return counts, nil
}

// wakeups is what it takes until the goroutine of a watch has the event of a put, which is not seen by anybody before its sync:
// from the end of the sync, and from the return of the put, before which it may well come. Many other watches are idle meanwhile.
//
// Bare is the machine's own share: a goroutine that waits for a pipe, from the write to it, which follows a sync, until it runs.
type wakeups struct {
	AfterSync, AfterPut, Bare rounds
}

func (w *wakeups) add(more wakeups) {
	w.AfterSync = append(w.AfterSync, more.AfterSync...)
	w.AfterPut = append(w.AfterPut, more.AfterPut...)
	w.Bare = append(w.Bare, more.Bare...)
}

func measureWakeups(s settings, dir string) (wakeups, error) {
	var w wakeups
	bare, err := bareWakeups(s, dir)
	if err != nil {
		return w, err
	}
	w.Bare.add(bare)
	c, err := etclite.Open(filepath.Join(dir, "store"))
	if err != nil {
		return w, err
	}
	defer c.Close()
	ctx := context.Background()
	for range s.watches {
		c.Watch(ctx, "idle")
	}
	watch, seen := c.Watch(ctx, "key"), make(chan time.Duration, 1)
	go func() {
		for range watch {
			seen <- syncclock.Now()
		}
	}()
	var afterSync, afterPut []time.Duration
	value := valueOf(s)
	for range s.wakeups {
		if _, err := c.Put(ctx, "key", value); err != nil {
			return w, err
		}
		returned, synced := syncclock.Now(), syncclock.Ended()
		at := <-seen
		afterSync, afterPut = append(afterSync, at-synced), append(afterPut, at-returned)
	}
	w.AfterSync.add(afterSync)
	w.AfterPut.add(afterPut)
	return w, nil
}

func bareWakeups(s settings, dir string) ([]time.Duration, error) {
	floor, err := newFloor(dir)
	if err != nil {
		return nil, err
	}
	defer floor.close()
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer writer.Close()
	seen := make(chan time.Duration, 1)
	go func() {
		defer reader.Close()
		for one := make([]byte, 1); ; {
			if _, err := reader.Read(one); err != nil {
				return
			}
			seen <- syncclock.Now()
		}
	}()
	var took []time.Duration
	for i := range s.wakeups {
		if err := floor.sync(i); err != nil {
			return nil, err
		}
		sent := syncclock.Now()
		if _, err := writer.Write([]byte{1}); err != nil {
			return nil, err
		}
		took = append(took, <-seen-sent)
	}
	return took, nil
}
