//go:build linux

package etclite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"sync"
	"testing"

	"github.com/etclite/etclite/bindings/go/internal/slowsync"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// threads is how many operating system threads the process has.
func threads(t testing.TB) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("\nThreads:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	count, err := strconv.Atoi(string(bytes.TrimSpace(line)))
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// held lets no commit reach the disk until the returned function is called.
func held(t testing.TB) (release func()) {
	slowsync.Hold()
	release = sync.OnceFunc(slowsync.Release)
	t.Cleanup(release)
	return release
}

func awaitHeld(t testing.TB) {
	t.Helper()
	eventually(t, "a commit is held", func() bool { return slowsync.Held() > 0 })
}

// Queued is how many writes wait for others to be done.
func (c *Client) Queued() int {
	c.writes.mu.Lock()
	defer c.writes.mu.Unlock()
	return len(c.writes.queue)
}

// Leads tells whether a write is in the library.
func (c *Client) Leads() bool {
	c.writes.mu.Lock()
	defer c.writes.mu.Unlock()
	return c.writes.leading
}

// Of use to tests in package etclite_test, which may import concurrency.
var (
	Threads    = threads
	Held       = held
	AwaitHeld  = awaitHeld
	Eventually = eventually
	Disk       = func(t testing.TB) *Client { return disk(t) }
)

func TestAThousandIdleWatchesNeedNoThreads(t *testing.T) {
	c := disk(t)
	put(t, c, "k", "v")
	receive(t, c.Watch(background, "k", WithRev(1)))
	ctx, cancel := context.WithCancel(background)
	before := threads(t)
	var watches []WatchChan
	for range 1000 {
		watches = append(watches, c.Watch(ctx, "k"))
	}
	revision := put(t, c, "k", "v2")
	for _, watch := range watches {
		equal(t, events(t, watch, 1), []string{fmt.Sprintf("PUT k=v2 @%d", revision)})
	}
	if more := threads(t) - before; more > 2 {
		t.Errorf("%d more threads", more)
	}
	cancel()
	for _, watch := range watches {
		awaitClosed(t, watch)
	}
}

func TestAThousandWritersNeedFewThreads(t *testing.T) {
	c := disk(t)
	put(t, c, "k", "v")
	before := threads(t)
	most := before
	var running sync.WaitGroup
	for w := range 1000 {
		running.Add(1)
		go func() {
			defer running.Done()
			for i := range 10 {
				if _, err := c.Put(background, fmt.Sprint(w, "/", i), "v"); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	for waiting := true; waiting; {
		most = max(most, threads(t))
		select {
		case <-done:
			waiting = false
		default:
		}
	}
	if most-before > 16 {
		t.Errorf("%d more threads", most-before)
	}
}

// Questions about leases wait for the commit under way. They filled the gate of all short calls, and a read of a key waited with
// them for as long as the disk took.
func TestReadsDoNotWaitBehindQuestionsAboutLeases(t *testing.T) {
	c := disk(t)
	put(t, c, "key", "value")
	lease, err := c.Grant(background, 60)
	if err != nil {
		t.Fatal(err)
	}
	release := held(t)
	leader := c.writes.start(background, 2, string(encodedPut("leader")))
	awaitHeld(t)
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	var asking sync.WaitGroup
	for i := range 64 {
		asking.Add(1)
		go func() {
			defer asking.Done()
			if i%2 == 0 {
				_, _ = c.TimeToLive(ctx, lease.ID)
			} else {
				_, _ = c.Leases(ctx)
			}
		}()
	}
	eventually(t, "as many ask as there are places", func() bool { return len(c.asking) == cap(c.asking) })
	read := make(chan error, 1)
	go func() {
		_, err := c.Get(background, "key")
		read <- err
	}()
	if err := receive(t, read); err != nil {
		t.Error(err)
	}
	cancel()
	release()
	asking.Wait()
	if got := receive(t, leader); got.err != nil {
		t.Error(got.err)
	}
}

// What is not durable is seen by nobody, and a write that was given up before its turn never is.
func TestContextsWhileACommitIsHeld(t *testing.T) {
	c := disk(t)
	watch := c.Watch(background, "", WithPrefix())
	release := held(t)
	leader := c.writes.start(background, 2, string(encodedPut("leader")))
	awaitHeld(t)
	ctx, cancel := context.WithCancel(background)
	given := make(chan error, 1)
	go func() {
		_, err := c.Put(ctx, "given up", "v")
		given <- err
	}()
	c.writes.awaitQueued(t, 1)
	behind := make(chan error, 1)
	go func() {
		_, err := c.Put(background, "behind", "v")
		behind <- err
	}()
	c.writes.awaitQueued(t, 2)
	cancel()
	if err := receive(t, given); err != context.Canceled {
		t.Errorf("%v", err)
	}
	equal(t, get(t, c, "", WithPrefix()), nil)
	if len(watch) != 0 {
		t.Error("a watch saw what is not durable")
	}
	release()
	if got := receive(t, leader); got.err != nil {
		t.Error(got.err)
	}
	if err := receive(t, behind); err != nil {
		t.Error(err)
	}
	equal(t, events(t, watch, 2), []string{"PUT leader=v @2", "PUT behind=v @3"})
	equal(t, get(t, c, "", WithPrefix()), []string{"behind=v", "leader=v"})
}

func TestCloseWaitsForTheCommitInFlight(t *testing.T) {
	path := t.TempDir() + "/store"
	c := reopened(t, path)
	release := held(t)
	results := make(chan error, 2)
	go func() {
		_, err := c.Put(background, "first", "v")
		results <- err
	}()
	awaitHeld(t)
	go func() {
		_, err := c.Put(background, "second", "v")
		results <- err
	}()
	c.writes.awaitQueued(t, 1)
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	eventually(t, "the client is closing", c.closed.Load)
	release()
	if err := receive(t, closed); err != nil {
		t.Error(err)
	}
	acknowledged := 0
	for range 2 {
		switch err := receive(t, results); err {
		case nil:
			acknowledged++
		case ErrClosed:
		default:
			t.Error(err)
		}
	}
	if acknowledged == 0 {
		t.Error("the write in flight was given up")
	}
	if there := len(get(t, reopened(t, path), "", WithPrefix())); there != acknowledged {
		t.Errorf("%d writes were acknowledged, %d are there", acknowledged, there)
	}
}

func TestADiskThatFails(t *testing.T) {
	path := t.TempDir() + "/store"
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, c, "before", "v")
	lease, err := c.Grant(background, 60)
	if err != nil {
		t.Fatal(err)
	}
	watch := c.Watch(background, "", WithPrefix())
	defer slowsync.Fail(false)

	// A leader and those who wait meanwhile: what happened to the first is open, the others surely were not written.
	release := held(t)
	results := make(chan error, 3)
	write := func(i int) {
		go func() {
			_, err := c.Put(background, fmt.Sprint("k", i), "v")
			results <- err
		}()
	}
	write(0)
	awaitHeld(t)
	write(1)
	write(2)
	c.writes.awaitQueued(t, 2)
	slowsync.Fail(true)
	release()
	counts := map[error]int{}
	for range 3 {
		counts[receive(t, results)]++
	}
	equal(t, counts, map[error]int{rpctypes.ErrIndeterminate: 1, rpctypes.ErrPoisoned: 2})
	slowsync.Fail(false)

	// Until the store is reopened nothing is written, and what was durable can be read.
	if _, err := c.Put(background, "later", "v"); err != rpctypes.ErrPoisoned {
		t.Errorf("%v", err)
	}
	if _, err := c.Revoke(background, lease.ID); err != rpctypes.ErrPoisoned {
		t.Errorf("%v", err)
	}
	equal(t, get(t, c, "", WithPrefix()), []string{"before=v"})
	// What a poisoned store says when it is closed is its own affair; that it can be opened again is not.
	_ = c.Close()
	awaitClosed(t, watch)
	again := reopened(t, path)
	kvs := get(t, again, "", WithPrefix())
	if len(kvs) != 1 && !reflect.DeepEqual(kvs, []string{"before=v", "k0=v"}) {
		t.Errorf("%v", kvs)
	}
	put(t, again, "later", "v")
}

func encodedPut(key string) []byte {
	op := OpPut(key, "v")
	return op.encoded()
}
