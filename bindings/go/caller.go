package etclite

import (
	"context"
	"fmt"
	"sync"

	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// ErrClosed says that the client, or its store, was closed.
var ErrClosed = rpctypes.ErrClosed

// A caller carries requests into the library and brings the replies. op is one of wire.Op... Both look at ctx.Err() first;
// errors are those of package rpctypes, or the context's. A reply is a fresh copy: the answer points into it.
type caller interface {
	// read is for what changes nothing: it runs in the caller's thread. req is the caller's again on return.
	read(ctx context.Context, op uint32, req []byte) (reply []byte, err error)
	// write is for what may wait for a commit. req is given away.
	write(ctx context.Context, op uint32, req []byte) (reply []byte, err error)
}

// An answer is what the pointer to each message is that replies consist of.
type answer[T any] interface {
	*T
	Decode(b []byte) error
}

// callRead makes a call that changes nothing, with a request that appendTo writes.
func callRead[T any, P answer[T]](ctx context.Context, c caller, op uint32, appendTo func(b []byte) []byte) (*T, error) {
	buffer := requests.Get().(*[]byte)
	*buffer = appendTo((*buffer)[:0])
	reply, err := c.read(ctx, op, *buffer)
	if cap(*buffer) <= requestKept {
		requests.Put(buffer)
	}
	return decoded[T, P](reply, err)
}

// nothing is a request without fields.
func nothing(b []byte) []byte { return b }

// callWrite makes a call that may wait for a commit.
func callWrite[T any, P answer[T]](ctx context.Context, c caller, op uint32, req []byte) (*T, error) {
	reply, err := c.write(ctx, op, req)
	return decoded[T, P](reply, err)
}

func decoded[T any, P answer[T]](reply []byte, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	message := new(T)
	if err := P(message).Decode(reply); err != nil {
		return nil, fmt.Errorf("etclite: reply of the library: %w", err)
	}
	return message, nil
}

// requests are buffers for requests of reads; larger ones than requestKept are left to the garbage collector.
var requests = sync.Pool{New: func() any {
	buffer := make([]byte, 0, 512)
	return &buffer
}}

const requestKept = 64 << 10
