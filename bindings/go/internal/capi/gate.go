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
// What waits for a commit does not pass through here: there is one at a time.
type gate struct {
	max int64
	// count is who is inside or waits. Above max, who came last waits for a token, which one of those who leave owes him.
	count  atomic.Int64
	tokens chan struct{}
}

// shortCalls has room for all processors, and for some calls that the operating system has interrupted.
var shortCalls = newGate(max(8, runtime.GOMAXPROCS(0)+4))

func newGate(size int) *gate {
	return &gate{max: int64(size), tokens: make(chan struct{}, size)}
}

func (g *gate) enter() {
	if g.count.Add(1) > g.max {
		<-g.tokens
	}
}

func (g *gate) leave() {
	if g.count.Add(-1) >= g.max {
		g.tokens <- struct{}{}
	}
}
