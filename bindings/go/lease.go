package etclite

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// A lessor is a Lease of a client's store. One goroutine renews all that are kept alive, in the order of a heap: those that are
// due at the same time by one call. It does not pass through the combiner, and those that may have to wait for the disk are left
// to another goroutine: however long a commit takes, no lease ends that its owner keeps alive. See slowLeases.
type lessor struct {
	leaseCalls
	client *Client
	// ctx ends with the lessor, and so with the client.
	ctx    context.Context
	cancel context.CancelFunc
	// due tells the goroutine that the first of the heap may be another.
	due chan struct{}

	// mu guards what follows.
	mu     sync.Mutex
	kept   keptLeases
	slow   slowLeases
	closed bool
	// ended is closed by the goroutine, and nil until it is started for the first KeepAlive.
	ended chan struct{}
}

// NewLease is another Lease of the client's store, which can be closed by itself. It ends with the client.
func NewLease(c *Client) Lease { return newLessor(c) }

func newLessor(c *Client) *lessor {
	l := &lessor{leaseCalls: leaseCalls{c}, client: c, due: make(chan struct{}, 1)}
	l.kept.byID = make(map[LeaseID]*keptLease)
	l.slow.revoking = make(map[LeaseID]int)
	l.ctx, l.cancel = context.WithCancel(c.ctx)
	return l
}

// KeepAlive begins to renew a lease, or adds a channel to a lease that is being renewed. It never waits.
func (l *lessor) KeepAlive(ctx context.Context, id LeaseID) (<-chan *LeaseKeepAliveResponse, error) {
	ch := make(chan *LeaseKeepAliveResponse, LeaseResponseChSize)
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		close(ch)
		return ch, nil
	}
	if err := l.start(); err != nil {
		close(ch)
		return ch, ErrKeepAliveHalted{Reason: err}
	}
	lease := l.kept.listen(id, ch, time.Now())
	lease.listeners[ch] = context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.kept.leave(lease, ch)
	})
	signal(l.due)
	return ch, nil
}

// start sees to it that the goroutine runs. Needs mu.
func (l *lessor) start() error {
	if l.closed {
		return ErrClosed
	}
	if l.ended != nil {
		return nil
	}
	if !l.client.enter() {
		return ErrClosed
	}
	l.ended = make(chan struct{})
	go l.run()
	return nil
}

// Revoke ends a lease. Those who keep it alive learn of it at once.
func (l *lessor) Revoke(ctx context.Context, id LeaseID) (*LeaseRevokeResponse, error) {
	l.mu.Lock()
	l.slow.revoking[id]++
	l.mu.Unlock()
	resp, err := l.leaseCalls.Revoke(ctx, id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slow.revoking[id]--; l.slow.revoking[id] == 0 {
		delete(l.slow.revoking, id)
	}
	if err == nil {
		l.kept.end(id)
	}
	return resp, err
}

// Close stops all renewals of this Lease and closes their channels. The leases themselves go on until their time is over.
func (l *lessor) Close() error {
	l.cancel()
	l.mu.Lock()
	l.closed = true
	ended := l.ended
	l.mu.Unlock()
	if ended != nil {
		<-ended
	}
	return nil
}

// run renews what is due, until the lessor or its client is closed.
func (l *lessor) run() {
	defer l.finish()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for l.ctx.Err() == nil {
		l.mu.Lock()
		leases, wait := l.kept.due(time.Now())
		leases = l.setAside(leases, time.Now())
		l.mu.Unlock()
		if len(leases) > 0 {
			l.renew(leases)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-l.due:
		case <-l.ctx.Done():
		}
	}
}

func (l *lessor) finish() {
	l.mu.Lock()
	l.closed = true
	for id := range l.kept.byID {
		l.kept.end(id)
	}
	l.mu.Unlock()
	l.client.leave()
	close(l.ended)
}

// renew renews leases, all by one batch, and tells their listeners. It asks for milliseconds: a lease that was granted by another
// language may have less than a second, which etcd's message would round up.
func (l *lessor) renew(ids []LeaseID) {
	requests := make([]*pending, len(ids))
	for i, id := range ids {
		message := wire.LeaseKeepAliveRequest{ID: int64(id)}
		requests[i] = newPending(wire.OpLeaseKeepAliveMs, message.Append(nil))
	}
	sent := time.Now()
	l.client.writes.executeAll(requests)
	for i, id := range ids {
		renewed, err := decoded[wire.LeaseKeepAliveMsResponse](l.client.writes.await(l.ctx, requests[i]))
		l.mu.Lock()
		l.kept.renewed(id, renewed, l.client.told(err), sent)
		l.mu.Unlock()
	}
}

// keptLeases is what is kept alive, and when each is to be renewed. It does not look at the clock itself.
type keptLeases struct {
	byID  map[LeaseID]*keptLease
	order byRenewal
}

type keptLease struct {
	id LeaseID
	// listeners are the channels, each with what stops the waiting for the end of its context.
	listeners map[chan *LeaseKeepAliveResponse]func() bool
	// next is when it is to be renewed.
	next time.Time
	// retry is when a renewal that fails is tried again.
	retry time.Duration
	// deadline is when it has surely ended unless it was renewed; before the first renewal, when that is given up.
	deadline time.Time
	// place is where it stands in the heap.
	place int
	// marked says that it was renewed before, so that the next renewal needs no disk.
	marked bool
}

const (
	// A renewal that fails is tried again after this time, as etcd has it, or after a third of the lease's if that is less.
	keepAliveRetry = 500 * time.Millisecond
	// How long the first renewal of a lease is tried, as etcd has it: its time is not known yet.
	keepAliveFirst = 5 * time.Second
)

// listen adds a channel to a lease, which is due at once. Its place among the listeners must then be filled.
func (k *keptLeases) listen(id LeaseID, ch chan *LeaseKeepAliveResponse, now time.Time) *keptLease {
	lease, ok := k.byID[id]
	if !ok {
		lease = &keptLease{id: id, listeners: make(map[chan *LeaseKeepAliveResponse]func() bool)}
		lease.retry, lease.deadline = keepAliveRetry, now.Add(keepAliveFirst)
		k.byID[id] = lease
		heap.Push(&k.order, lease)
	}
	lease.listeners[ch] = nil
	lease.next = now
	heap.Fix(&k.order, lease.place)
	return lease
}

// leave closes a channel. A lease without any is no longer renewed.
func (k *keptLeases) leave(lease *keptLease, ch chan *LeaseKeepAliveResponse) {
	if _, ok := lease.listeners[ch]; !ok {
		return
	}
	delete(lease.listeners, ch)
	close(ch)
	if len(lease.listeners) == 0 {
		k.end(lease.id)
	}
}

// end closes all channels of a lease and forgets it.
func (k *keptLeases) end(id LeaseID) {
	lease, ok := k.byID[id]
	if !ok {
		return
	}
	for ch, stop := range lease.listeners {
		if stop != nil {
			stop()
		}
		close(ch)
	}
	clear(lease.listeners)
	delete(k.byID, id)
	heap.Remove(&k.order, lease.place)
}

// idle is how long to sleep while nothing is kept alive.
const idle = time.Hour

// due is what must be renewed now, or else how long that has time.
func (k *keptLeases) due(now time.Time) ([]LeaseID, time.Duration) {
	var ids []LeaseID
	for len(k.order) > 0 && !k.order[0].next.After(now) {
		lease := k.order[0]
		ids = append(ids, lease.id)
		// Until its reply is there. It is never due twice.
		lease.next = now.Add(idle)
		heap.Fix(&k.order, 0)
	}
	if len(k.order) == 0 {
		return ids, idle
	}
	return ids, k.order[0].next.Sub(now)
}

// renewed takes the reply to a renewal that was sent at a time.
func (k *keptLeases) renewed(id LeaseID, reply *wire.LeaseKeepAliveMsResponse, err error, sent time.Time) {
	lease, ok := k.byID[id]
	if !ok {
		return
	}
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound), err == nil && reply.TTLMs <= 0:
		k.end(id)
		return
	case err != nil:
		lease.next = sent.Add(lease.retry)
		if lease.next.After(lease.deadline) {
			k.end(id)
			return
		}
	default:
		lease.marked = true
		ttl := time.Duration(reply.TTLMs) * time.Millisecond
		lease.next, lease.deadline = sent.Add(ttl/3), sent.Add(ttl)
		lease.retry = min(keepAliveRetry, ttl/3)
		// Whole seconds, rounded up, as all that is granted is told.
		seconds := int64((ttl + time.Second - 1) / time.Second)
		for ch := range lease.listeners {
			offer(ch, &LeaseKeepAliveResponse{ResponseHeader: reply.Header, ID: id, TTL: seconds})
		}
	}
	heap.Fix(&k.order, lease.place)
}

// offer sends without waiting. In a full channel the oldest answer makes room, so that who reads late finds the newest. There is
// one sender.
func offer(ch chan *LeaseKeepAliveResponse, response *LeaseKeepAliveResponse) {
	for {
		select {
		case ch <- response:
			return
		default:
		}
		select {
		case <-ch:
		default:
		}
	}
}

// byRenewal is a heap of leases by the time of their next renewal.
type byRenewal []*keptLease

func (h byRenewal) Len() int           { return len(h) }
func (h byRenewal) Less(i, j int) bool { return h[i].next.Before(h[j].next) }
func (h byRenewal) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push is heap.Interface's.
func (h *byRenewal) Push(lease any) {
	added := lease.(*keptLease)
	added.place = len(*h)
	*h = append(*h, added)
}

// Pop is heap.Interface's.
func (h *byRenewal) Pop() any {
	last := len(*h) - 1
	lease := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return lease
}
