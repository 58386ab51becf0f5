package etcdv3

import (
	"context"
	"io"
	"math"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// watchClient is etcd's Watch service.
type watchClient struct {
	pb.WatchClient
	*transport
}

// Watch opens a stream, on which any number of watches can be created.
func (c watchClient) Watch(ctx context.Context, _ ...grpc.CallOption) (pb.Watch_WatchClient, error) {
	ctx, cancel := context.WithCancel(ctx)
	return &watchStream{
		stream: stream{ctx: ctx}, transport: c.transport, cancel: cancel,
		filled: make(chan struct{}, 1), watches: map[int64]*served{},
	}, nil
}

// watchStream is one stream: responses wait in a queue for Recv, in the order in which they were made. A watch, which has a
// goroutine of its own, puts in one response at a time and waits until it was received. So a slow reader makes the watches
// wait, each at its place in history, and no events queue up. When the stream's context ends, so do its watches, and when the
// store is over, so is the stream.
type watchStream struct {
	stream
	*transport
	cancel context.CancelFunc
	// filled holds a token while the queue may have something.
	filled chan struct{}
	// asked says that progress of all watches is to be told, once they have caught up.
	asked atomic.Bool

	// order is held for reading while a watch takes events and queues them, and for writing by who compares all watches: then
	// each response is in the queue for what was taken. It comes before mu.
	order sync.RWMutex

	// mu guards what follows.
	mu      sync.Mutex
	queue   []queued
	watches map[int64]*served
	nextID  int64
	// failure is why the stream ended, if not for its context.
	failure error
}

// queued is a response on its way; received is closed when Recv returns it.
type queued struct {
	response *pb.WatchResponse
	received chan struct{}
}

// noWatch is the id of responses that concern every watch of a stream, or none.
const noWatch = -1

// Send creates or cancels a watch, or asks for progress. It does not wait for the answer to be received.
func (s *watchStream) Send(in *pb.WatchRequest) error {
	if err := s.check(); err != nil {
		return err
	}
	switch request := in.RequestUnion.(type) {
	case *pb.WatchRequest_CreateRequest:
		s.create(request.CreateRequest)
	case *pb.WatchRequest_CancelRequest:
		s.end(request.CancelRequest.WatchId)
	case *pb.WatchRequest_ProgressRequest:
		s.askProgress()
	}
	return nil
}

// Recv waits for the next response of any watch.
func (s *watchStream) Recv() (*pb.WatchResponse, error) {
	for {
		if s.ctx.Err() != nil {
			return nil, s.over()
		}
		if response := s.next(); response != nil {
			return response, nil
		}
		select {
		case <-s.filled:
		case <-s.store.Done():
			s.fail(sentOnStream(rpctypes.ErrClosed))
		case <-s.ctx.Done():
		}
	}
}

// over is why a stream has ended.
func (s *watchStream) over() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return s.failure
	}
	return s.ctx.Err()
}

// fail ends the stream and all its watches.
func (s *watchStream) fail(err error) {
	s.mu.Lock()
	if s.failure == nil {
		s.failure = err
	}
	s.mu.Unlock()
	s.cancel()
}

// CloseSend ends the stream and its watches, as a server of etcd ends it then.
func (s *watchStream) CloseSend() error {
	err := s.stream.CloseSend()
	s.fail(io.EOF)
	return err
}

// put puts a response into the queue. The channel is closed when Recv returns it.
func (s *watchStream) put(response *pb.WatchResponse) <-chan struct{} {
	received := make(chan struct{})
	s.mu.Lock()
	s.queue = append(s.queue, queued{response, received})
	s.mu.Unlock()
	signal(s.filled)
	return received
}

// next is the first response of the queue, nil if it is empty.
func (s *watchStream) next() *pb.WatchResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil
	}
	first := s.queue[0]
	s.queue[0] = queued{}
	s.queue = s.queue[1:]
	close(first.received)
	return first.response
}

// signal leaves a token in a channel of one place.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// create starts a watch. Whatever is written after its answer was received is seen by it, and what was written after the
// request was sent, too.
func (s *watchStream) create(in *pb.WatchCreateRequest) {
	id, free := s.takeID(in.WatchId)
	if !free {
		s.refuse("mvcc: duplicate watch ID provided on the WatchStream")
		return
	}
	watch, compacted, err := s.store.Watch(watchRequest(in).Append(nil))
	if err != nil && compacted == 0 {
		s.refuse(textOf(err))
		return
	}
	// Read once the watch is there: what is above it will be told. The other way round, what is written in between would be
	// neither below it nor told.
	created := &pb.WatchResponse{Header: s.header(s.store.Revision()), WatchId: id, Created: true}
	if err != nil {
		// As etcd: such a watch is created, and then cancelled.
		s.put(created)
		s.put(s.ended(id, err, compacted))
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	served := &served{
		stream: s, watch: watch, id: id, start: in.StartRevision, notify: in.ProgressNotify,
		ctx: ctx, cancel: cancel, done: make(chan struct{}), ask: make(chan struct{}, 1),
	}
	s.admit(served)
	go served.run(s.put(created))
}

func watchRequest(in *pb.WatchCreateRequest) *wire.WatchCreateRequest {
	// What ProgressNotify and Fragment ask for is done here, or not at all.
	request := &wire.WatchCreateRequest{
		Key: in.Key, RangeEnd: in.RangeEnd, StartRevision: in.StartRevision, PrevKv: in.PrevKv,
	}
	for _, filter := range in.Filters {
		request.Filters = append(request.Filters, int32(filter))
	}
	return request
}

// refuse answers a creation that failed.
func (s *watchStream) refuse(reason string) {
	s.put(&pb.WatchResponse{
		Header: s.header(s.store.Revision()), WatchId: noWatch, Created: true, Canceled: true, CancelReason: reason,
	})
}

// takeID is the id of a new watch: the one asked for, if it is free, or the next.
func (s *watchStream) takeID(wanted int64) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wanted != 0 {
		_, taken := s.watches[wanted]
		return wanted, !taken
	}
	for s.watches[s.nextID] != nil {
		s.nextID++
	}
	s.nextID++
	return s.nextID - 1, true
}

// admit counts a watch among those of the stream.
func (s *watchStream) admit(served *served) {
	s.order.Lock()
	defer s.order.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	served.behind = s.asked.Load()
	s.watches[served.id] = served
}

// forget takes a watch out of those of the stream, for which the others may have been waiting.
func (s *watchStream) forget(served *served) {
	s.order.RLock()
	s.mu.Lock()
	delete(s.watches, served.id)
	s.mu.Unlock()
	s.order.RUnlock()
	s.tellProgress()
}

// end cancels a watch. Nothing of it comes after the answer.
func (s *watchStream) end(id int64) {
	s.mu.Lock()
	served := s.watches[id]
	s.mu.Unlock()
	if served == nil {
		return
	}
	served.cancel()
	<-served.done
	if !served.ended {
		s.put(&pb.WatchResponse{Header: s.header(s.store.Revision()), WatchId: id, Canceled: true})
	}
}

// ended is the last response of a watch that did not end at its reader's wish. As of etcd, one that was overtaken by a
// compaction has neither revision nor reason.
func (s *watchStream) ended(id int64, err error, compacted int64) *pb.WatchResponse {
	response := &pb.WatchResponse{WatchId: id, Canceled: true, CompactRevision: compacted}
	if compacted != 0 {
		response.Header = s.header(0)
		return response
	}
	response.Header, response.CancelReason = s.header(s.store.Revision()), textOf(err)
	return response
}

// askProgress has progress told once every watch has caught up: each has then had nothing more to take after the request.
// Several requests that wait are answered as one. (etcd does not answer at all unless all have caught up already.)
func (s *watchStream) askProgress() {
	s.order.Lock()
	s.mu.Lock()
	s.asked.Store(true)
	for _, served := range s.watches {
		served.behind = true
		signal(served.ask)
	}
	s.mu.Unlock()
	s.order.Unlock()
	// Without any watch there is nobody else to see that there is nothing to tell.
	s.tellProgress()
}

// tellProgress tells progress of all watches, if that was asked for, and all have delivered the same: everything up to the
// revision that is told and nothing above it. Who resumes from it then misses nothing and gets nothing twice.
func (s *watchStream) tellProgress() {
	if !s.asked.Load() {
		return
	}
	s.order.Lock()
	defer s.order.Unlock()
	revision, caughtUp := s.progress()
	if !caughtUp || !s.asked.CompareAndSwap(true, false) {
		return
	}
	if revision != 0 {
		s.put(&pb.WatchResponse{Header: s.header(revision), WatchId: noWatch})
	}
}

// progress is the revision up to which all watches of the stream have delivered everything; 0 if there is nothing to tell,
// which as in etcd is so without watches, or with one that starts later. The second result is false as long as a watch is
// behind the others, or behind the request. Needs order for writing.
func (s *watchStream) progress() (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	revision, delivered, start := int64(math.MaxInt64), int64(0), int64(0)
	for _, served := range s.watches {
		if served.behind {
			return 0, false
		}
		revision = min(revision, served.watch.Progress())
		delivered, start = max(delivered, served.delivered), max(start, served.start)
	}
	switch {
	case len(s.watches) == 0 || revision < start:
		return 0, true
	default:
		return revision, delivered <= revision
	}
}
