package etcdv3

import (
	"context"
	"errors"
	"io"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etclite/etclite/bindings/go/internal/raw"
	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// served is a watch on a stream.
type served struct {
	stream *watchStream
	watch  raw.Watch
	id     int64
	// start is the first revision asked for, 0 if that is the next.
	start  int64
	notify bool
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	// ask makes it look once more whether it has caught up.
	ask chan struct{}
	// ended says that the last response was put into the queue; to be read when done is closed.
	ended bool

	// The stream's order guards what follows: its holders for reading are the watches, each for its own.

	// behind says that progress was asked for, and that the watch has not been without anything to take since.
	behind bool
	// delivered is the revision of the last event that was put into the queue.
	delivered int64
}

// progressEvery is how long a watch with progress notifications is silent at most, as a server of etcd has it by default.
const progressEvery = 10 * time.Minute

// run delivers events until the watch or its stream ends, or the store is over: no wait of it outlasts any of them.
func (s *served) run(created <-chan struct{}) {
	defer close(s.done)
	defer s.watch.Close()
	defer s.stream.forget(s)
	defer s.cancel()
	for wanted := s.until(created); wanted; {
		received, err := s.take()
		switch {
		case err != nil:
			return
		case received != nil:
			wanted = s.until(received)
		default:
			wanted = s.idle()
		}
	}
}

// until waits for a channel. It reports false if nobody wants more of the watch.
func (s *served) until(c <-chan struct{}) bool {
	select {
	case <-c:
		return s.ctx.Err() == nil
	case <-s.ctx.Done():
	case <-s.stream.store.Done():
	}
	return false
}

// take puts the next response into the queue, if there is one now: the channel is closed when it was received. An error is
// the end of the watch, and was told.
func (s *served) take() (received <-chan struct{}, err error) {
	s.stream.order.RLock()
	defer s.stream.order.RUnlock()
	bytes, compacted, err := s.watch.Next()
	if err == io.EOF {
		// A store that is open for reading holds no more: there is nothing now, and no notice will come.
		err = nil
	}
	var reply wire.WatchResponse
	if err == nil && bytes != nil {
		err = reply.Decode(bytes)
	}
	switch {
	case err != nil:
		s.fail(err, compacted)
		return nil, err
	case bytes == nil:
		s.behind = false
		return nil, nil
	}
	if count := len(reply.Events); count > 0 {
		s.delivered = reply.Events[count-1].Kv.ModRevision
	}
	response := &pb.WatchResponse{Header: header(reply.Header), WatchId: s.id, Events: events(reply.Events)}
	return s.stream.put(response), nil
}

// fail tells why the watch ends. That the store is over is told by the stream, once for all; and so is that its disk failed,
// which ends every watch: clients close the channel of a single one that is cancelled without a word.
func (s *served) fail(err error, compacted int64) {
	switch {
	case ofContext(err) || errors.Is(err, rpctypes.ErrClosed):
	case errors.Is(err, rpctypes.ErrPoisoned):
		s.stream.fail(sentOnStream(err))
	default:
		s.ended = true
		s.stream.put(s.stream.ended(s.id, err, compacted))
	}
}

// idle returns once there may be something to take, or after having told progress. It reports false if nobody wants more.
func (s *served) idle() bool {
	s.stream.tellProgress()
	var silence <-chan time.Time
	if s.notify {
		timer := time.NewTimer(progressEvery)
		defer timer.Stop()
		silence = timer.C
	}
	select {
	case <-s.watch.Notice():
	case <-s.ask:
	case <-silence:
		return s.until(s.tellProgress())
	case <-s.ctx.Done():
		return false
	case <-s.stream.store.Done():
		return false
	}
	return true
}

// tellProgress tells how far this watch alone has come. One that starts later has nothing to tell.
func (s *served) tellProgress() (received <-chan struct{}) {
	s.stream.order.RLock()
	defer s.stream.order.RUnlock()
	revision := s.watch.Progress()
	if revision < max(s.start, 1) {
		return always
	}
	return s.stream.put(&pb.WatchResponse{Header: s.stream.header(revision), WatchId: s.id})
}

// always is a channel for which nobody waits.
var always = func() <-chan struct{} {
	closed := make(chan struct{})
	close(closed)
	return closed
}()
