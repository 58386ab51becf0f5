package capi

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestTheGateIsBoundedAndLetsEveryoneThrough(t *testing.T) {
	const size = 3
	g := newGate(size)
	var running sync.WaitGroup
	var inside, most, through atomic.Int64
	for range 200 {
		running.Add(1)
		go func() {
			defer running.Done()
			for range 100 {
				g.enter()
				now := inside.Add(1)
				for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
				}
				runtime.Gosched()
				inside.Add(-1)
				g.leave()
				through.Add(1)
			}
		}()
	}
	running.Wait()
	if most.Load() != size || through.Load() != 20_000 || g.inside.Load() != 0 || g.waiting.Load() != 0 || len(g.tokens) != 0 {
		t.Errorf("%d inside at most, %d through, %d left, %d tokens", most.Load(), through.Load(), g.inside.Load(), len(g.tokens))
	}
}
