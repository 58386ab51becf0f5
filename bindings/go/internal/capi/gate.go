package capi

import (
	"runtime"
	"sync/atomic"
)

// A gate bounds how many short calls are inside the library at a time.
//
// Go gives a goroutine's processor away when a call into C takes longer than some 20 µs, and starts a thread for it. Where the
// operating system is short of processors, any call may take that long, and of ten thousand goroutines that read at a time a
// hundred are soon inside, each on a thread of its own, which Go never gives back. Whoever finds the gate full waits as a
// goroutine.
//
// What waits for a commit, or goes over all keys, does not pass through here; of what waits, package etclite lets in a few at a
// time.
//
// Whoever leaves wakes one who waits, and does not keep the place for him: who comes by first has it. Were it kept, a thousand
// goroutines in a row would each be parked and woken for every call.
type gate struct {
	max    int64
	inside atomic.Int64
	// waiting is who waits, less those for whom a token is under way.
	waiting atomic.Int64
	tokens  chan struct{}
}

// shortCalls has room for all processors, and for some calls that the operating system has interrupted.
var shortCalls = newGate(max(8, runtime.GOMAXPROCS(0)+4))

func newGate(size int) *gate {
	return &gate{max: int64(size), tokens: make(chan struct{}, size)}
}

func (g *gate) enter() {
	for {
		now := g.inside.Load()
		if now < g.max {
			if g.inside.CompareAndSwap(now, now+1) {
				return
			}
			continue
		}
		g.waiting.Add(1)
		// Who left in the meantime has seen nobody waiting.
		if g.inside.Load() < g.max && g.takeOne() {
			continue
		}
		<-g.tokens
	}
}

func (g *gate) leave() {
	g.inside.Add(-1)
	if g.takeOne() {
		g.tokens <- struct{}{}
	}
}

// takeOne counts one out of those who wait. It reports false if there are none for whom no token is under way.
func (g *gate) takeOne() bool {
	for waiting := g.waiting.Load(); waiting > 0; waiting = g.waiting.Load() {
		if g.waiting.CompareAndSwap(waiting, waiting-1) {
			return true
		}
	}
	return false
}
