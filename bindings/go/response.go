package etclite

import (
	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/mvccpb"
)

// A ResponseHeader says who answered, and at which revision. It has the fields ClusterId, MemberId and RaftTerm (uint64), all of
// the store, and Revision (int64): the store's revision when the request was applied, for a read at an earlier one too.
type ResponseHeader = wire.ResponseHeader

// A ResponseOp is the answer to one operation of a txn: see its methods GetResponseRange, GetResponsePut,
// GetResponseDeleteRange and GetResponseTxn, of which the one of the operation's kind is not nil. Their results have the fields
// of GetResponse, PutResponse, DeleteResponse and TxnResponse and can be converted to these.
type ResponseOp = wire.ResponseOp

// A GetResponse answers a get.
type GetResponse struct {
	Header *ResponseHeader `json:"header,omitempty"`
	// Kvs are the keys that were found.
	Kvs []*mvccpb.KeyValue `json:"kvs,omitempty"`
	// More tells whether the limit left keys out.
	More bool `json:"more,omitempty"`
	// Count is how many keys there are in the range, whatever limit and filters say.
	Count int64 `json:"count,omitempty"`
}

// A PutResponse answers a put.
type PutResponse struct {
	Header *ResponseHeader `json:"header,omitempty"`
	// PrevKv is what was there before, if WithPrevKV asked for it.
	PrevKv *mvccpb.KeyValue `json:"prev_kv,omitempty"`
}

// A DeleteResponse answers a delete.
type DeleteResponse struct {
	Header *ResponseHeader `json:"header,omitempty"`
	// Deleted is how many keys were deleted. If there were none, the revision is what it was.
	Deleted int64 `json:"deleted,omitempty"`
	// PrevKvs is what was there before, if WithPrevKV asked for it.
	PrevKvs []*mvccpb.KeyValue `json:"prev_kvs,omitempty"`
}

// A TxnResponse answers a txn.
type TxnResponse struct {
	Header *ResponseHeader `json:"header,omitempty"`
	// Succeeded tells which branch ran: Then if all conditions held, else Else.
	Succeeded bool `json:"succeeded,omitempty"`
	// Responses has one answer for each operation of that branch.
	Responses []*ResponseOp `json:"responses,omitempty"`
}

// A CompactResponse answers a compaction.
type CompactResponse struct {
	Header *ResponseHeader `json:"header,omitempty"`
}

// OpResponse is the answer as one of any kind.
func (resp *GetResponse) OpResponse() OpResponse { return OpResponse{get: resp} }

// OpResponse is the answer as one of any kind.
func (resp *PutResponse) OpResponse() OpResponse { return OpResponse{put: resp} }

// OpResponse is the answer as one of any kind.
func (resp *DeleteResponse) OpResponse() OpResponse { return OpResponse{del: resp} }

// OpResponse is the answer as one of any kind.
func (resp *TxnResponse) OpResponse() OpResponse { return OpResponse{txn: resp} }

// An OpResponse answers KV.Do: the one of its methods that fits the operation does not return nil.
type OpResponse struct {
	get *GetResponse
	put *PutResponse
	del *DeleteResponse
	txn *TxnResponse
}

// Get is the answer to a get.
func (op OpResponse) Get() *GetResponse { return op.get }

// Put is the answer to a put.
func (op OpResponse) Put() *PutResponse { return op.put }

// Del is the answer to a delete.
func (op OpResponse) Del() *DeleteResponse { return op.del }

// Txn is the answer to a txn.
func (op OpResponse) Txn() *TxnResponse { return op.txn }
