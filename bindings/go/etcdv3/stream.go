package etcdv3

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// stream is what all client streams of gRPC have, without messages.
type stream struct {
	ctx  context.Context
	mu   sync.Mutex
	done chan struct{}
	half bool
}

// Context is the one that the stream was opened with.
func (s *stream) Context() context.Context { return s.ctx }

// Header is empty: nothing was sent over a wire.
func (s *stream) Header() (metadata.MD, error) { return nil, nil }

// Trailer is empty, too.
func (s *stream) Trailer() metadata.MD { return nil }

// CloseSend says that nothing more will be sent.
func (s *stream) CloseSend() error {
	closed := s.closedSend()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.half {
		s.half = true
		close(closed)
	}
	return nil
}

// closedSend is closed once nothing more will be sent.
func (s *stream) closedSend() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
	}
	return s.done
}

// check refuses to send on a stream that is over.
func (s *stream) check() error {
	s.mu.Lock()
	half := s.half
	s.mu.Unlock()
	if half {
		return io.EOF
	}
	return s.ctx.Err()
}

// SendMsg and RecvMsg belong to generated code, which this stream does not have.
func (s *stream) SendMsg(any) error {
	return status.Error(codes.Unimplemented, "etclite: a stream without a wire takes typed messages only")
}

// RecvMsg is as SendMsg.
func (s *stream) RecvMsg(any) error {
	return status.Error(codes.Unimplemented, "etclite: a stream without a wire takes typed messages only")
}
