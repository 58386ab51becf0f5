package etclite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/etclite/etclite/bindings/go/internal/decided"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// A fakeLibrary answers each request with its own bytes, one call at a time and only when it is let. A request of kind
// refusedOp is refused.
type fakeLibrary struct {
	// entered tells how many requests are in the call; it goes on when it receives from proceed.
	entered chan int
	proceed chan struct{}

	mu    sync.Mutex
	calls [][]string
}

const refusedOp = 99

func newFakeCombiner() (*combiner, *fakeLibrary) {
	f := &fakeLibrary{entered: make(chan int), proceed: make(chan struct{})}
	return &combiner{call: f.call, callBatch: f.callBatch}, f
}

func (f *fakeLibrary) record(requests []string) {
	f.mu.Lock()
	f.calls = append(f.calls, requests)
	f.mu.Unlock()
	f.entered <- len(requests)
	<-f.proceed
}

func (f *fakeLibrary) call(op uint32, req []byte) ([]byte, error) {
	f.record([]string{string(req)})
	if op == refusedOp {
		return nil, rpctypes.ErrEmptyKey
	}
	return bytes.Clone(req), nil
}

func (f *fakeLibrary) callBatch(batch []byte) ([]byte, error) {
	var requests []string
	var replies []byte
	for len(batch) > 0 {
		op, length := binary.LittleEndian.Uint32(batch), binary.LittleEndian.Uint32(batch[4:])
		req := batch[8 : 8+length]
		batch = batch[8+(length+7)/8*8:]
		requests = append(requests, string(req))
		status, reply := int32(0), req
		if op == refusedOp {
			status, reply = -2, []byte("key is not provided")
		}
		replies = binary.LittleEndian.AppendUint32(replies, uint32(status))
		replies = binary.LittleEndian.AppendUint32(replies, uint32(len(reply)))
		replies = append(replies, reply...)
		replies = append(replies, make([]byte, -len(reply)&7)...)
	}
	f.record(requests)
	return replies, nil
}

// await lets a number of writes get into the queue.
func (c *combiner) awaitQueued(t *testing.T, count int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d writes in the queue", count), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.queue) == count
	})
}

type outcome struct {
	reply string
	err   error
}

func (c *combiner) start(ctx context.Context, op uint32, req string) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		reply, err := c.do(ctx, op, []byte(req))
		done <- outcome{string(reply), err}
	}()
	return done
}

func TestWritesDuringACommitShareTheNext(t *testing.T) {
	c, library := newFakeCombiner()
	first := c.start(background, 1, "first")
	if n := <-library.entered; n != 1 {
		t.Fatalf("%d requests at first", n)
	}
	var rest []<-chan outcome
	for i := range 5 {
		op := uint32(1)
		if i == 2 {
			op = refusedOp
		}
		rest = append(rest, c.start(background, op, fmt.Sprint(i)))
		c.awaitQueued(t, i+1)
	}
	library.proceed <- struct{}{}
	if got := <-first; got != (outcome{"first", nil}) {
		t.Errorf("first: %v", got)
	}
	if n := <-library.entered; n != 5 {
		t.Errorf("%d requests in the second call", n)
	}
	library.proceed <- struct{}{}
	for i, done := range rest {
		want := outcome{fmt.Sprint(i), nil}
		if i == 2 {
			want = outcome{"", rpctypes.ErrEmptyKey}
		}
		if got := <-done; got != want {
			t.Errorf("%d: %v", i, got)
		}
	}
	if c.leading || c.queue != nil {
		t.Error("somebody leads nobody")
	}
}

func TestBatchesAreBounded(t *testing.T) {
	c, library := newFakeCombiner()
	first := c.start(background, 1, "first")
	<-library.entered
	half := string(make([]byte, batchBytesMax/2))
	sizes := []string{half, half, string(make([]byte, 2*batchBytesMax)), "small"}
	var done []<-chan outcome
	for i, req := range sizes {
		done = append(done, c.start(background, 1, req))
		c.awaitQueued(t, i+1)
	}
	// Two halves with their heads are more than a batch; so is the large one, which goes alone.
	for _, want := range []int{1, 1, 1, 1} {
		library.proceed <- struct{}{}
		if n := <-library.entered; n != want {
			t.Errorf("%d requests in a call", n)
		}
	}
	library.proceed <- struct{}{}
	<-first
	for i := range done {
		if got := <-done[i]; got.err != nil || got.reply != sizes[i] {
			t.Errorf("%d: %d bytes, %v", i, len(got.reply), got.err)
		}
	}

	last := c.start(background, 1, "last")
	<-library.entered
	many := make([]*pending, batchCountMax+7)
	for i := range many {
		many[i] = newPending(1, nil)
	}
	if c.enqueue(many...) {
		t.Fatal("two leaders")
	}
	replies := make(chan error)
	go func() {
		for _, r := range many {
			_, err := c.await(background, r)
			replies <- err
		}
	}()
	for _, want := range []int{batchCountMax, 7} {
		library.proceed <- struct{}{}
		if n := <-library.entered; n != want {
			t.Errorf("%d requests in a call", n)
		}
		if want == batchCountMax {
			go drain(replies, batchCountMax)
		}
	}
	library.proceed <- struct{}{}
	drain(replies, 7)
	<-last
}

func drain(c <-chan error, count int) {
	for range count {
		<-c
	}
}

func TestCancelledInTheQueueIsNotDone(t *testing.T) {
	c, library := newFakeCombiner()
	first := c.start(background, 1, "first")
	<-library.entered
	ctx, cancel := context.WithCancel(background)
	waiting := c.start(ctx, 1, "cancelled")
	c.awaitQueued(t, 1)
	behind := c.start(background, 1, "behind")
	c.awaitQueued(t, 2)
	cancel()
	if got := <-waiting; got.err != context.Canceled {
		t.Errorf("%v", got)
	}
	library.proceed <- struct{}{}
	<-first
	<-library.entered
	library.proceed <- struct{}{}
	if got := <-behind; got.err != nil {
		t.Errorf("%v", got)
	}
	for _, call := range library.calls {
		for _, request := range call {
			if request == "cancelled" {
				t.Error("it was done")
			}
		}
	}
}

func TestCancelledWhenTakenMayBeDone(t *testing.T) {
	c, library := newFakeCombiner()
	first := c.start(background, 1, "first")
	<-library.entered
	ctx, cancel := context.WithCancel(background)
	leader := c.start(background, 1, "leader")
	c.awaitQueued(t, 1)
	taken := c.start(ctx, 1, "taken")
	c.awaitQueued(t, 2)
	library.proceed <- struct{}{}
	<-first
	<-library.entered
	cancel()
	if got := <-taken; got.err != context.Canceled {
		t.Errorf("%v", got)
	}
	library.proceed <- struct{}{}
	if got := <-leader; got.err != nil {
		t.Errorf("%v", got)
	}
	if last := library.calls[len(library.calls)-1]; len(last) != 2 || last[1] != "taken" {
		t.Errorf("%q", last)
	}
}

// Whoever must know what became of his write is told: that it was taken back, or how it ended.
func TestWhoMustKnowWaitsForWhatWasTaken(t *testing.T) {
	c, library := newFakeCombiner()
	first := c.start(background, 1, "first")
	<-library.entered
	ctx, cancel := context.WithCancel(decided.Context(background))
	leader := c.start(background, 1, "leader")
	c.awaitQueued(t, 1)
	taken := c.start(ctx, 1, "taken")
	c.awaitQueued(t, 2)
	library.proceed <- struct{}{}
	<-first
	<-library.entered
	queuedCtx, cancelQueued := context.WithCancel(decided.Context(background))
	queued := c.start(queuedCtx, 1, "queued")
	c.awaitQueued(t, 1)
	cancel()
	cancelQueued()
	if got := <-queued; got.err != context.Canceled {
		t.Errorf("%v", got)
	}
	select {
	case got := <-taken:
		t.Errorf("before it is done: %v", got)
	default:
	}
	library.proceed <- struct{}{}
	if got := <-taken; got != (outcome{"taken", nil}) {
		t.Errorf("%v", got)
	}
	<-leader
	if len(library.calls) != 2 {
		t.Errorf("%q", library.calls)
	}
}

func TestRequestsPastTheQueue(t *testing.T) {
	c, library := newFakeCombiner()
	first := c.start(background, 1, "first")
	<-library.entered
	many := make([]*pending, batchCountMax+7)
	for i := range many {
		many[i] = newPending(1, []byte(fmt.Sprint(i)))
	}
	done := make(chan struct{})
	go func() {
		c.executeAll(many)
		close(done)
	}()
	if n := <-library.entered; n != batchCountMax {
		t.Errorf("%d requests in a call", n)
	}
	// Two are in the library, and either goes on.
	library.proceed <- struct{}{}
	library.proceed <- struct{}{}
	if n := <-library.entered; n != 7 {
		t.Errorf("%d requests in a call", n)
	}
	library.proceed <- struct{}{}
	<-first
	<-done
	for i, r := range many {
		if reply, err := c.await(background, r); err != nil || string(reply) != fmt.Sprint(i) {
			t.Errorf("%d: %q, %v", i, reply, err)
		}
	}
}

// Whoever is appointed and gives up at that moment must pass on the lead, or all behind him wait for ever.
func TestAnAppointedWriterThatGivesUpPassesOnTheLead(t *testing.T) {
	c, library := newFakeCombiner()
	first, second := newPending(1, []byte("first")), newPending(1, []byte("second"))
	c.enqueue(newPending(1, nil))
	c.take()
	c.enqueue(first, second)
	c.appoint()
	if !c.isAppointed(first) || !c.abandon(first) {
		t.Fatal("the first was not appointed")
	}
	if !c.isAppointed(second) {
		t.Fatal("nobody leads")
	}
	go func() { <-library.entered; library.proceed <- struct{}{} }()
	if reply, err := c.await(background, second); err != nil || string(reply) != "second" {
		t.Errorf("%q, %v", reply, err)
	}
	if c.leading {
		t.Error("somebody leads nobody")
	}
}

func TestThousandsOfWritersAndCancellations(t *testing.T) {
	c, library := newFakeCombiner()
	go func() {
		for range library.entered {
			library.proceed <- struct{}{}
		}
	}()
	var writers sync.WaitGroup
	for i := range 2000 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			ctx, cancel := context.WithCancel(background)
			defer cancel()
			if i%3 == 0 {
				go cancel()
			}
			req := fmt.Sprintf("%d", i)
			reply, err := c.do(ctx, 1, []byte(req))
			if err == nil && string(reply) != req || err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("%d: %q, %v", i, reply, err)
			}
		}()
	}
	writers.Wait()
	close(library.entered)
	if c.leading || len(c.queue) != 0 {
		t.Error("somebody leads nobody")
	}
	done := map[string]bool{}
	for _, call := range library.calls {
		for _, request := range call {
			if done[request] {
				t.Errorf("%s was done twice", request)
			}
			done[request] = true
		}
	}
}

func TestRepliesThatMakeNoSense(t *testing.T) {
	for _, replies := range [][]byte{nil, {0, 0, 0}, {0, 0, 0, 0, 9, 0, 0, 0, 1}, {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}} {
		c := &combiner{callBatch: func([]byte) ([]byte, error) { return replies, nil }}
		batch := []*pending{newPending(1, nil), newPending(1, nil)}
		c.execute(batch)
		for _, r := range batch {
			if !errors.Is(r.err, rpctypes.ErrUnknown) || r.reply != nil {
				t.Errorf("%x: %q, %v", replies, r.reply, r.err)
			}
		}
	}
}

func TestALargeReplyIsACopyOfItsOwn(t *testing.T) {
	replies := []byte{0, 0, 0, 0, 0x90, 0, 0, 0}
	replies = append(replies, make([]byte, 0x90)...)
	r := newPending(1, nil)
	if err := splitReplies(replies, []*pending{r}); err != nil || len(r.reply) != 0x90 {
		t.Fatalf("%d bytes, %v", len(r.reply), err)
	}
	if replies[8] = 1; r.reply[0] != 0 {
		t.Error("it is a part of the batch's replies")
	}
}
