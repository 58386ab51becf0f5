package etclite

import (
	"bytes"
	"context"
	"testing"
)

// A message is what every message's pointer is.
type message interface {
	Append(b []byte) []byte
	Decode(b []byte) error
}

// A fakeCaller takes one call, checks that it is the one that was expected, byte for byte, and replies.
type fakeCaller struct {
	t      *testing.T
	writes bool
	op     uint32
	want   message
	reply  message
	err    error
	calls  int
}

func (f *fakeCaller) read(ctx context.Context, op uint32, req []byte) ([]byte, error) {
	return f.call(false, op, req)
}

func (f *fakeCaller) write(ctx context.Context, op uint32, req []byte) ([]byte, error) {
	return f.call(true, op, req)
}

func (f *fakeCaller) call(write bool, op uint32, req []byte) ([]byte, error) {
	f.t.Helper()
	f.calls++
	if write != f.writes || op != f.op {
		f.t.Errorf("call %d as a write: %v", op, write)
	}
	want := []byte{}
	if f.want != nil {
		want = f.want.Append(want)
	}
	if !bytes.Equal(req, want) {
		f.t.Errorf("request\n%x\ninstead of\n%x", req, want)
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.reply.Append(nil), nil
}

// expectRead is a caller that expects this read.
func expectRead(t *testing.T, op uint32, want, reply message) *fakeCaller {
	return &fakeCaller{t: t, op: op, want: want, reply: reply}
}

// expectWrite is a caller that expects this write.
func expectWrite(t *testing.T, op uint32, want, reply message) *fakeCaller {
	return &fakeCaller{t: t, writes: true, op: op, want: want, reply: reply}
}

// panicOf is what f panics with, nil if it does not.
func panicOf(f func()) (message any) {
	defer func() { message = recover() }()
	f()
	return nil
}

func header(revision int64) *ResponseHeader {
	return &ResponseHeader{ClusterId: 1 << 63, MemberId: 5, Revision: revision, RaftTerm: 1}
}

var background = context.Background()
