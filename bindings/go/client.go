package etclite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/etclite/etclite/bindings/go/internal/capi"
	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// A Client is an open store. Any number of goroutines may use it. It must be closed: until then nobody else can open the store.
type Client struct {
	KV
	Lease
	Watcher
	Maintenance

	db       capi.DB
	endpoint string
	writes   combiner
	// renewing has a place for each renewal that is in the library by itself.
	renewing chan struct{}
	// asking has a place for each question about leases that is in the library: those wait for the commit under way.
	asking chan struct{}
	// What the header of every answer says of the store.
	clusterID, memberID, raftTerm uint64
	progressEvery                 time.Duration

	// ctx ends when the client is closed, or with the context of its Config.
	ctx     context.Context
	cancel  context.CancelFunc
	closed  atomic.Bool
	closing sync.Once
	cleanup runtime.Cleanup
	// running is the goroutines that use the store by themselves. enter adds to it.
	running sync.WaitGroup

	// mu guards pump, which is nil until the first watch, and orders enter before or after Close.
	mu   sync.Mutex
	pump *pump
}

// Open opens the store in the directory path, which is made if it is not there. Whatever was acknowledged before is there
// again. It is ErrLocked if the store is open elsewhere, in this process too.
func Open(path string, options ...Option) (*Client, error) {
	return openIn(context.Background(), path, options)
}

// OpenMemory makes a new store in memory, of which nothing is left once it is closed. Each is a store of its own.
func OpenMemory(options ...Option) (*Client, error) {
	return openMemory(context.Background(), options)
}

func openIn(ctx context.Context, path string, options []Option) (*Client, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("etclite: %w", err)
	}
	return open(ctx, path, fileEndpoint(absolute), options)
}

func openMemory(ctx context.Context, options []Option) (*Client, error) {
	inMemory := func(o *openOptions) { o.capi.InMemory = true }
	return open(ctx, "", memoryEndpoint, append([]Option{inMemory}, options...))
}

func open(ctx context.Context, path, endpoint string, options []Option) (*Client, error) {
	o := openOptions{progressEvery: progressNotifyInterval}
	for _, option := range options {
		option(&o)
	}
	db, err := capi.Open(path, o.capi)
	if err != nil {
		return nil, err
	}
	c := &Client{db: db, endpoint: endpoint, progressEvery: o.progressEvery}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.writes.call, c.writes.callBatch = db.Call, db.CallBatch
	c.renewing, c.asking = make(chan struct{}, renewingMax), make(chan struct{}, askingMax)
	c.KV, c.Maintenance = kvCalls{c}, maintenanceCalls{c}
	c.Watcher, c.Lease = newWatcher(c), newLessor(c)
	if err := c.introduce(); err != nil {
		c.Close()
		return nil, err
	}
	c.cleanup = runtime.AddCleanup(c, warnOfLeak, endpoint)
	return c, nil
}

// introduce asks who the store is, for headers that are made here.
func (c *Client) introduce() error {
	// Of the lease that does not exist: the cheapest question with a header in the answer.
	reply, err := c.db.Call(wire.OpLeaseTimeToLive, nil)
	lease, err := decoded[wire.LeaseTimeToLiveResponse](reply, err)
	if err != nil {
		return err
	}
	header := lease.Header
	c.clusterID, c.memberID, c.raftTerm = header.GetClusterId(), header.GetMemberId(), header.GetRaftTerm()
	return nil
}

func (c *Client) header(revision int64) *ResponseHeader {
	return &ResponseHeader{ClusterId: c.clusterID, MemberId: c.memberID, RaftTerm: c.raftTerm, Revision: revision}
}

// warnOfLeak only warns. Closing here would hide that the store stayed locked for as long as the collector pleased.
func warnOfLeak(endpoint string) {
	slog.Warn("etclite: a client was dropped without Close; its store stays open until the process ends", "endpoint", endpoint)
}

// Close ends the store for all who use it: their calls answer ErrClosed, the channels of watches and renewals are closed. What
// is in memory is written, and the store can be opened again. A second Close does nothing.
//
// The error says what could not be written; no acknowledged write is lost by it.
func (c *Client) Close() error {
	var err error
	c.closing.Do(func() {
		c.mu.Lock()
		c.closed.Store(true)
		c.mu.Unlock()
		c.cleanup.Stop()
		c.cancel()
		// They may be others than those of Open, with goroutines of their own that end by this alone.
		if c.Watcher != nil {
			err = c.Watcher.Close()
		}
		if c.Lease != nil {
			err = errors.Join(err, c.Lease.Close())
		}
		c.running.Wait()
		if c.pump != nil {
			c.pump.stop()
		}
		err = errors.Join(err, c.db.Close())
	})
	return err
}

// Ctx ends when the client is closed.
func (c *Client) Ctx() context.Context { return c.ctx }

// Endpoints is the store's path as a URL: file:///.., or memory: for one in memory.
func (c *Client) Endpoints() []string { return []string{c.endpoint} }

// Sync makes durable all that was acknowledged: of use after WithDurability, else it is so already. (In etcd's client, Sync asks
// the cluster for endpoints, of which there is nothing to learn here.)
func (c *Client) Sync(ctx context.Context) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	return c.told(c.db.Sync())
}

// Backup writes a copy of the store, as it is now, to a path where nothing is yet. Reads and writes go on meanwhile. The copy is
// a store of its own, with another identity. It runs in the caller's thread, and ctx cannot end it once it has begun.
func (c *Client) Backup(ctx context.Context, path string) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	return c.told(c.db.Backup(path))
}

// Stats is what the store tells of itself, as a JSON object.
func (c *Client) Stats() ([]byte, error) { return c.stats(capi.StatsJSON) }

// Metrics is what the store tells of itself, in Prometheus' text format. ErrUnsupported if the library was built without it.
func (c *Client) Metrics() ([]byte, error) { return c.stats(capi.StatsPrometheus) }

func (c *Client) stats(format uint32) ([]byte, error) {
	if err := c.ready(context.Background()); err != nil {
		return nil, err
	}
	text, err := c.db.Stats(format)
	return text, c.told(err)
}

// NewKV is a KV of the client's store.
func NewKV(c *Client) KV { return kvCalls{c} }

// NewMaintenance is a Maintenance of the client's store.
func NewMaintenance(c *Client) Maintenance { return maintenanceCalls{c} }

// askingMax bounds the threads of questions about leases.
const askingMax = 8

// read runs in the caller's thread. What goes over all keys takes its time, and so does what is asked of leases, for whose end may
// be under way: nobody else need wait for these at the gate.
func (c *Client) read(ctx context.Context, op uint32, req []byte) ([]byte, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	call := c.db.Read
	switch {
	case op >= wire.OpStatus:
		call = c.db.Call
	case op == wire.OpLeaseTimeToLive || op == wire.OpLeaseLeases:
		select {
		case c.asking <- struct{}{}:
			defer func() { <-c.asking }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		call = c.db.Call
	}
	reply, err := call(op, req)
	return reply, c.told(err)
}

// write goes through the combiner, but for a compaction, which may be long and no other write need wait for it, and for a renewal,
// which must not wait for the commits of others.
func (c *Client) write(ctx context.Context, op uint32, req []byte) ([]byte, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	var reply []byte
	var err error
	switch op {
	case wire.OpCompact:
		reply, err = c.db.Call(op, req)
	case wire.OpLeaseKeepAlive:
		reply, err = c.renew(ctx, op, req)
	default:
		reply, err = c.writes.do(ctx, op, req)
	}
	return reply, c.told(err)
}

// renewingMax bounds the threads of renewals that wait for the disk: the first of a lease is durable before it is answered.
const renewingMax = 8

// renew does one renewal by itself. The end of ctx ends the waiting; a renewal that had begun goes on.
func (c *Client) renew(ctx context.Context, op uint32, req []byte) ([]byte, error) {
	select {
	case c.renewing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r := newPending(op, req)
	if !c.enter() {
		<-c.renewing
		return nil, ErrClosed
	}
	go func() {
		defer c.leave()
		r.reply, r.err = c.db.Call(op, req)
		<-c.renewing
		r.wake <- struct{}{}
	}()
	select {
	case <-r.wake:
		return r.reply, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ready says why a call must not begin.
func (c *Client) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// The context ends after the client is marked as closed, so its error is told only if it ended by itself.
	if err := c.ctx.Err(); err != nil && !c.closed.Load() {
		return err
	}
	if c.closed.Load() {
		return ErrClosed
	}
	return nil
}

// told is an error of the library as the caller gets it: the handle of a closed client does not exist any more, which is no
// misuse.
func (c *Client) told(err error) error {
	if err != nil && c.closed.Load() && errors.Is(err, rpctypes.ErrMisuse) {
		return ErrClosed
	}
	return err
}

// enter counts a goroutine in that uses the store by itself. It reports false if the client is closed.
func (c *Client) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return false
	}
	c.running.Add(1)
	return true
}

func (c *Client) leave() { c.running.Done() }

// sharedPump is the pump of all watches, made for the first. Whoever calls must have entered.
func (c *Client) sharedPump() (*pump, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pump == nil {
		made, err := newPump(c.db)
		if err != nil {
			return nil, err
		}
		c.pump = made
	}
	return c.pump, nil
}
