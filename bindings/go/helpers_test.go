package etclite

import (
	"runtime"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen before it fails.
const patience = 30 * time.Second

// eventually waits for something that tells nobody when it happens, such as a goroutine getting into a queue.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for start := time.Now(); !holds(); runtime.Gosched() {
		if time.Since(start) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// receive is the next of a channel, which must not be closed.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatal("the channel is closed")
		}
		return v
	case <-time.After(patience):
		t.Fatalf("nothing within %v", patience)
	}
	panic("unreachable")
}

// awaitClosed reads a channel to its end.
func awaitClosed[T any](t testing.TB, c <-chan T) {
	t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case _, ok := <-c:
			if !ok {
				return
			}
		case <-deadline:
			t.Fatalf("not closed within %v", patience)
		}
	}
}
