package etclite

import (
	"context"

	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// KV reads and writes keys. All writes are durable when they return, unless the store was opened otherwise.
//
// A call whose context ends returns the context's error. A write that still waited for its turn then is surely not done; one that
// was under way with others may still take effect, as in etcd's client. The writes of many goroutines that come at a time are one
// call into the library, which one of them makes, the first: a context that ends during that call does not wake it, as nothing
// ends a call into C. So a write may last longer than its context, by one commit, and then tells how it ended.
type KV interface {
	// Put puts a key. Key and value may hold any bytes; the key must not be empty.
	Put(ctx context.Context, key, val string, opts ...OpOption) (*PutResponse, error)

	// Get reads a key, or a range of keys by WithRange, WithPrefix or WithFromKey. A key that is not there is no error: Kvs is
	// empty. A revision given by WithRev that is compacted is ErrCompacted, one to come ErrFutureRev.
	Get(ctx context.Context, key string, opts ...OpOption) (*GetResponse, error)

	// Delete deletes a key, or a range of keys. That nothing was there is no error.
	Delete(ctx context.Context, key string, opts ...OpOption) (*DeleteResponse, error)

	// Compact drops the history below a revision: what was overwritten or deleted before it cannot be read any more.
	Compact(ctx context.Context, rev int64, opts ...CompactOption) (*CompactResponse, error)

	// Do executes an operation. It panics on the zero Op.
	Do(ctx context.Context, op Op) (OpResponse, error)

	// Txn begins a txn, which Commit executes.
	Txn(ctx context.Context) Txn
}

// kvCalls is a KV made of calls into the library.
type kvCalls struct {
	caller caller
}

func (kv kvCalls) Put(ctx context.Context, key, val string, opts ...OpOption) (*PutResponse, error) {
	resp, err := kv.Do(ctx, OpPut(key, val, opts...))
	return resp.put, err
}

func (kv kvCalls) Get(ctx context.Context, key string, opts ...OpOption) (*GetResponse, error) {
	resp, err := kv.Do(ctx, OpGet(key, opts...))
	return resp.get, err
}

func (kv kvCalls) Delete(ctx context.Context, key string, opts ...OpOption) (*DeleteResponse, error) {
	resp, err := kv.Do(ctx, OpDelete(key, opts...))
	return resp.del, err
}

func (kv kvCalls) Compact(ctx context.Context, rev int64, opts ...CompactOption) (*CompactResponse, error) {
	op := OpCompact(rev, opts...)
	req := wire.CompactionRequest{Revision: op.revision, Physical: op.physical}
	resp, err := callWrite[wire.CompactionResponse](ctx, kv.caller, wire.OpCompact, req.Append(nil))
	return (*CompactResponse)(resp), err
}

func (kv kvCalls) Txn(ctx context.Context) Txn {
	return &txn{kv: kv, ctx: ctx}
}

func (kv kvCalls) Do(ctx context.Context, op Op) (OpResponse, error) {
	if err := op.check(wire.TxnDepthMax); err != nil {
		return OpResponse{}, err
	}
	switch op.t {
	case tRange:
		if !op.IsSortOptionValid() {
			return OpResponse{}, rpctypes.ErrInvalidSortOption
		}
		resp, err := callRead[wire.RangeResponse](ctx, kv.caller, wire.OpRange, op.appendTo)
		return OpResponse{get: (*GetResponse)(resp)}, err
	case tPut:
		resp, err := callWrite[wire.PutResponse](ctx, kv.caller, wire.OpPut, op.encoded())
		return OpResponse{put: (*PutResponse)(resp)}, err
	case tDeleteRange:
		resp, err := callWrite[wire.DeleteRangeResponse](ctx, kv.caller, wire.OpDeleteRange, op.encoded())
		return OpResponse{del: (*DeleteResponse)(resp)}, err
	}
	resp, err := kv.commit(ctx, &op)
	return OpResponse{txn: resp}, err
}

// commit executes a txn; one that can change nothing does not wait for the commits of others.
func (kv kvCalls) commit(ctx context.Context, op *Op) (*TxnResponse, error) {
	var resp *wire.TxnResponse
	var err error
	if op.isWrite() {
		resp, err = callWrite[wire.TxnResponse](ctx, kv.caller, wire.OpTxn, op.encoded())
	} else {
		resp, err = callRead[wire.TxnResponse](ctx, kv.caller, wire.OpTxn, op.appendTo)
	}
	return (*TxnResponse)(resp), err
}

func (op *Op) encoded() []byte {
	return op.appendTo(make([]byte, 0, op.sizeHint()))
}
