package etclite

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/etclite/etclite/bindings/go/internal/decided"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// A combiner gathers the writes of many goroutines into batches, each of which is one call into the library and one commit.
//
// A write waits in a queue. Who finds no leader becomes it: it takes the head of the queue, itself included, makes the call,
// hands out the replies, and appoints the first of those who came meanwhile. All others are parked goroutines: however many
// there are, one thread is in the library. A write that is alone goes straight through, at the cost of one lock.
//
//	queue   a b c d e f          leader a took a b c; d e f came during its commit
//	        -----                a hands out b's and c's reply, then appoints d
//
// Invariant: a leader is at work or appointed if and only if leading is true, and while it is false the queue is empty.
type combiner struct {
	// call does one request, callBatch many.
	call      func(op uint32, req []byte) ([]byte, error)
	callBatch func(batch []byte) ([]byte, error)

	// mu guards queue, leading and each request's state.
	mu      sync.Mutex
	queue   []*pending
	leading bool
}

// The bounds of a batch are those of the library.
const (
	batchCountMax = 1024
	batchBytesMax = 1 << 20
)

// A pending is one write on its way.
type pending struct {
	op    uint32
	bytes []byte

	state pendingState
	// wake is signalled once: with the reply in place, or with the appointment.
	wake  chan struct{}
	reply []byte
	err   error
}

type pendingState int

const (
	queued pendingState = iota
	// It is the first of the queue, and whoever waits for it must lead.
	appointed
	// A leader has it: it will be done, and its reply be set.
	taken
)

func newPending(op uint32, req []byte) *pending {
	return &pending{op: op, bytes: req, wake: make(chan struct{}, 1)}
}

// framed is how long the request is within a batch.
func (r *pending) framed() int {
	return batchHead + (len(r.bytes)+7)&^7
}

// batchHead is a request's kind and length, or a reply's status and length.
const batchHead = 8

// do makes one write and waits for its commit, or for the end of ctx.
func (c *combiner) do(ctx context.Context, op uint32, req []byte) ([]byte, error) {
	r := newPending(op, req)
	if c.enqueue(r) {
		c.lead()
		<-r.wake
		return r.reply, r.err
	}
	return c.await(ctx, r)
}

// enqueue adds requests at the end, and tells whether the caller has become the leader and must lead.
func (c *combiner) enqueue(requests ...*pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, requests...)
	if c.leading {
		return false
	}
	c.leading = true
	return true
}

// await waits for a request that is in the queue. One that is still there when ctx ends is surely not done. One that was taken is
// waited for no longer, unless the context is of those that must know.
func (c *combiner) await(ctx context.Context, r *pending) ([]byte, error) {
	select {
	case <-r.wake:
	case <-ctx.Done():
		if c.abandon(r) {
			return nil, ctx.Err()
		}
		// Its reply is there, or is being made.
		if decided.Wanted(ctx) {
			<-r.wake
			break
		}
		select {
		case <-r.wake:
		default:
			return nil, ctx.Err()
		}
	}
	if c.isAppointed(r) {
		c.lead()
		<-r.wake
	}
	return r.reply, r.err
}

func (c *combiner) isAppointed(r *pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return r.state == appointed
}

// abandon takes a request out of the queue, passing on the lead if it was appointed. It reports false if it was taken.
func (c *combiner) abandon(r *pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.state == taken {
		return false
	}
	for i, other := range c.queue {
		if other == r {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			break
		}
	}
	if r.state == appointed {
		c.appoint()
	}
	return true
}

// lead does the head of the queue, and passes on the lead.
func (c *combiner) lead() {
	batch := c.take()
	c.execute(batch)
	for _, r := range batch {
		r.wake <- struct{}{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.appoint()
}

// appoint lets the first of the queue lead, if there is one. Needs mu, and that nobody leads.
func (c *combiner) appoint() {
	c.leading = len(c.queue) > 0
	if c.leading {
		first := c.queue[0]
		first.state = appointed
		first.wake <- struct{}{}
	}
}

// take removes from the queue what fits in a batch: at least one request.
func (c *combiner) take() []*pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	count, size := 0, 0
	for count < len(c.queue) && count < batchCountMax {
		size += c.queue[count].framed()
		if count > 0 && size > batchBytesMax {
			break
		}
		c.queue[count].state = taken
		count++
	}
	batch := c.queue[:count:count]
	c.queue = c.queue[count:]
	if len(c.queue) == 0 {
		c.queue = nil
	}
	return batch
}

// executeAll does requests past the queue, in the caller's thread and in batches of their own: of use for those that nobody
// else should wait for, or that should wait for nobody. Each must be small. Their replies can be awaited, and are there.
func (c *combiner) executeAll(requests []*pending) {
	for len(requests) > 0 {
		count := min(len(requests), batchCountMax)
		c.execute(requests[:count])
		for _, r := range requests[:count] {
			r.state = taken
			r.wake <- struct{}{}
		}
		requests = requests[count:]
	}
}

// execute fills in the replies. Whatever happens, each request has one or an error.
func (c *combiner) execute(batch []*pending) {
	if len(batch) == 1 {
		batch[0].reply, batch[0].err = c.call(batch[0].op, batch[0].bytes)
		return
	}
	buffer := batches.Get().(*[]byte)
	*buffer = appendBatch((*buffer)[:0], batch)
	replies, err := c.callBatch(*buffer)
	batches.Put(buffer)
	if err == nil {
		err = splitReplies(replies, batch)
	}
	if err != nil {
		for _, r := range batch {
			r.reply, r.err = nil, err
		}
	}
}

// batches are buffers for encoded batches.
var batches = sync.Pool{New: func() any {
	buffer := make([]byte, 0, 64<<10)
	return &buffer
}}

// appendBatch encodes requests as the library reads them: kind, length, bytes, filled up to a multiple of 8.
func appendBatch(b []byte, batch []*pending) []byte {
	for _, r := range batch {
		b = binary.LittleEndian.AppendUint32(b, r.op)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(r.bytes)))
		b = append(b, r.bytes...)
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
	}
	return b
}

// splitReplies hands out the replies of a batch: status, length, bytes, filled up as requests are.
func splitReplies(replies []byte, batch []*pending) error {
	for i, r := range batch {
		if len(replies) < batchHead {
			return fmt.Errorf("%w: %d replies to %d requests", errBatch, i, len(batch))
		}
		status := int32(binary.LittleEndian.Uint32(replies))
		length := int(binary.LittleEndian.Uint32(replies[4:]))
		replies = replies[batchHead:]
		padded := (length + 7) &^ 7
		if padded > len(replies) {
			return fmt.Errorf("%w: a reply of %d bytes is cut off", errBatch, length)
		}
		r.setReply(status, replies[:length:length])
		replies = replies[padded:]
	}
	return nil
}

// errBatch is a reply that no library of this release gives.
var errBatch = fmt.Errorf("%w: reply to a batch", rpctypes.ErrUnknown)

// replyShared is how long a reply may be that stays in memory with those of its whole batch: it holds no key and no value worth
// keeping. A longer one becomes a copy of its own, so that who keeps a value does not keep a thousand.
const replyShared = 128

func (r *pending) setReply(status int32, reply []byte) {
	if status < 0 {
		r.err = rpctypes.FromStatus(status, 0, string(reply))
		return
	}
	if len(reply) > replyShared {
		reply = bytes.Clone(reply)
	}
	r.reply = reply
}
