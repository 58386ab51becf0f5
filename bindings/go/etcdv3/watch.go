package etcdv3

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/etclite/etclite/bindings/go/internal/raw"
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
		answered: make(chan struct{}, 1), replies: make(chan *pb.WatchResponse), watches: map[int64]*served{},
	}, nil
}

// watchStream is one stream: a goroutine for each watch hands its responses to Recv. So a slow reader makes the watches wait,
// each at its place in history, and no events queue up. When the stream's context ends, so do its watches.
type watchStream struct {
	stream
	*transport
	cancel context.CancelFunc
	// replies carries events.
	replies chan *pb.WatchResponse
	// answered holds a token while there may be answers.
	answered chan struct{}

	// mu guards what follows.
	mu sync.Mutex
	// answers of creations, cancellations and requests for progress go before events, in the order of the requests.
	answers []answer
	watches map[int64]*served
	nextID  int64
	// failure is why the stream ended, if not for its context.
	failure error
}

// answer is a response to a request of the stream; told, if not nil, is closed once it was received.
type answer struct {
	response *pb.WatchResponse
	told     chan struct{}
}

// allWatches is the id of responses that concern every watch of a stream, or none.
const allWatches = -1

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
		s.answer(&pb.WatchResponse{Header: s.header(s.progress()), WatchId: allWatches}, nil)
	}
	return nil
}

// Recv waits for the next response of any watch.
func (s *watchStream) Recv() (*pb.WatchResponse, error) {
	for {
		if response := s.nextAnswer(); response != nil {
			return response, nil
		}
		select {
		case <-s.answered:
		case response := <-s.replies:
			return response, nil
		case <-s.ctx.Done():
			return nil, s.over()
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

// CloseSend ends the stream and its watches.
func (s *watchStream) CloseSend() error {
	err := s.stream.CloseSend()
	s.cancel()
	return err
}

func (s *watchStream) answer(response *pb.WatchResponse, told chan struct{}) {
	s.mu.Lock()
	s.answers = append(s.answers, answer{response, told})
	s.mu.Unlock()
	select {
	case s.answered <- struct{}{}:
	default:
	}
}

func (s *watchStream) nextAnswer() *pb.WatchResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) == 0 {
		return nil
	}
	first := s.answers[0]
	s.answers = s.answers[1:]
	if first.told != nil {
		close(first.told)
	}
	return first.response
}

// create starts a watch. Whatever is written after its answer was received is seen by it, and what was written after the
// request was sent, too.
func (s *watchStream) create(in *pb.WatchCreateRequest) {
	request := wire.WatchCreateRequest{
		Key: in.Key, RangeEnd: in.RangeEnd, StartRevision: in.StartRevision, PrevKv: in.PrevKv,
		ProgressNotify: in.ProgressNotify,
	}
	for _, filter := range in.Filters {
		request.Filters = append(request.Filters, int32(filter))
	}
	id, free := s.takeID(in.WatchId)
	if !free {
		s.refuse(id, "etcdserver: duplicate watch ID provided on the stream")
		return
	}
	revision := s.store.Revision()
	watch, compacted, err := s.store.Watch(request.Append(nil))
	if compacted != 0 {
		// As etcd: such a watch is created, and then cancelled.
		s.answer(&pb.WatchResponse{Header: s.header(revision), WatchId: id, Created: true}, nil)
		s.answer(s.ended(id, err, compacted), nil)
		return
	}
	if err != nil {
		s.refuse(id, textOf(err))
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	served := &served{
		stream: s, watch: watch, id: id, ctx: ctx, cancel: cancel, done: make(chan struct{}),
		notify: in.ProgressNotify,
	}
	s.mu.Lock()
	s.watches[id] = served
	s.mu.Unlock()
	told := make(chan struct{})
	s.answer(&pb.WatchResponse{Header: s.header(revision), WatchId: id, Created: true}, told)
	go served.run(told)
}

// refuse answers a creation that failed.
func (s *watchStream) refuse(id int64, reason string) {
	s.answer(&pb.WatchResponse{
		Header: s.header(s.store.Revision()), WatchId: id, Created: true, Canceled: true, CancelReason: reason,
	}, nil)
}

// fail ends the stream and all its watches with an error.
func (s *watchStream) fail(err error) {
	s.mu.Lock()
	if s.failure == nil {
		s.failure = err
	}
	s.mu.Unlock()
	s.cancel()
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
	s.answer(&pb.WatchResponse{Header: s.header(s.store.Revision()), WatchId: id, Canceled: true}, nil)
}

func (s *watchStream) forget(served *served) {
	s.mu.Lock()
	delete(s.watches, served.id)
	s.mu.Unlock()
}

// progress is the revision up to which all watches of the stream have delivered everything.
func (s *watchStream) progress() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	revision := s.store.Revision()
	for _, served := range s.watches {
		revision = min(revision, served.progress())
	}
	return revision
}

// ended is the last response of a watch that did not end at its reader's wish.
func (s *watchStream) ended(id int64, err error, compacted int64) *pb.WatchResponse {
	return &pb.WatchResponse{
		Header: s.header(s.store.Revision()), WatchId: id, Canceled: true, CompactRevision: compacted,
		CancelReason: textOf(err),
	}
}

func (s *watchStream) header(revision int64) *pb.ResponseHeader {
	cluster, member, term := s.store.IDs()
	return &pb.ResponseHeader{ClusterId: cluster, MemberId: member, Revision: revision, RaftTerm: term}
}

// served is a watch on a stream.
type served struct {
	stream *watchStream
	watch  raw.Watch
	id     int64
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	notify bool

	// mu is held while events are taken from the watch, so that progress knows of those that were not delivered yet.
	mu sync.Mutex
	// held is the first revision in hand; 0 if there is none.
	held int64
}

// progressEvery is how long a watch with progress notifications is silent at most, as a server of etcd has it by default.
const progressEvery = 10 * time.Minute

// run delivers events until the watch or its stream ends.
func (s *served) run(told <-chan struct{}) {
	defer close(s.done)
	defer s.stream.forget(s)
	defer s.watch.Close()
	defer s.cancel()
	select {
	case <-told:
	case <-s.ctx.Done():
		return
	}
	for s.ctx.Err() == nil {
		response, compacted, err := s.take()
		switch {
		case err == io.EOF:
			// All that a store which is open for reading holds was told, and nothing will ever come.
			<-s.ctx.Done()
			return
		case errors.Is(err, rpctypes.ErrClosed):
			s.stream.fail(sent(err))
			return
		case err != nil:
			s.deliver(s.stream.ended(s.id, err, compacted))
			return
		case response != nil:
			s.deliver(response)
		default:
			s.await()
		}
	}
}

// take is the next response, nil if there is none now.
func (s *served) take() (response *pb.WatchResponse, compacted int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = 0
	bytes, compacted, err := s.watch.Next()
	if err != nil || bytes == nil {
		return nil, compacted, err
	}
	var reply wire.WatchResponse
	if err := reply.Decode(bytes); err != nil {
		return nil, 0, err
	}
	if len(reply.Events) > 0 {
		s.held = reply.Events[0].Kv.ModRevision
	}
	return &pb.WatchResponse{Header: header(reply.Header), WatchId: s.id, Events: events(reply.Events)}, 0, nil
}

// await returns once there may be something to take, or after having told progress.
func (s *served) await() {
	if !s.notify {
		_ = s.watch.Wait(s.ctx)
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, progressEvery)
	defer cancel()
	if s.watch.Wait(ctx) != nil && s.ctx.Err() == nil {
		s.deliver(&pb.WatchResponse{Header: s.stream.header(s.progress()), WatchId: s.id})
	}
}

func (s *served) deliver(response *pb.WatchResponse) {
	select {
	case s.stream.replies <- response:
	case <-s.ctx.Done():
	}
}

func (s *served) progress() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != 0 {
		return s.held - 1
	}
	return s.watch.Progress()
}
