package etcdv3

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/etclite/etclite/bindings/go/internal/wire"
)

// message is a request, and decoder a reply, of package wire.
type message interface{ Append([]byte) []byte }
type decoder interface{ Decode([]byte) error }

// read answers a request that changes nothing.
func (t *transport) read(ctx context.Context, op uint32, request message, reply decoder) error {
	return t.call(ctx, t.store.Read, op, request, reply)
}

// write answers a request that may change something.
func (t *transport) write(ctx context.Context, op uint32, request message, reply decoder) error {
	return t.call(ctx, t.store.Write, op, request, reply)
}

func (t *transport) call(ctx context.Context, by caller, op uint32, request message, reply decoder) error {
	bytes, err := by(ctx, op, request.Append(nil))
	if err != nil {
		return sent(err)
	}
	return sent(reply.Decode(bytes))
}

// kvClient is etcd's KV service. What it does not have is refused by what it embeds.
type kvClient struct {
	pb.KVClient
	*transport
}

func (c kvClient) Range(ctx context.Context, in *pb.RangeRequest, _ ...grpc.CallOption) (*pb.RangeResponse, error) {
	var reply wire.RangeResponse
	if err := c.read(ctx, wire.OpRange, rangeRequest(in), &reply); err != nil {
		return nil, err
	}
	return rangeResponse(&reply), nil
}

func (c kvClient) Put(ctx context.Context, in *pb.PutRequest, _ ...grpc.CallOption) (*pb.PutResponse, error) {
	var reply wire.PutResponse
	if err := c.write(ctx, wire.OpPut, putRequest(in), &reply); err != nil {
		return nil, err
	}
	return putResponse(&reply), nil
}

func (c kvClient) DeleteRange(
	ctx context.Context, in *pb.DeleteRangeRequest, _ ...grpc.CallOption,
) (*pb.DeleteRangeResponse, error) {
	var reply wire.DeleteRangeResponse
	if err := c.write(ctx, wire.OpDeleteRange, deleteRequest(in), &reply); err != nil {
		return nil, err
	}
	return deleteResponse(&reply), nil
}

func (c kvClient) Txn(ctx context.Context, in *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	// One that can change nothing does not wait for the commits of others.
	call := c.write
	if onlyReads(in.Success) && onlyReads(in.Failure) {
		call = c.read
	}
	var reply wire.TxnResponse
	if err := call(ctx, wire.OpTxn, txnRequest(in), &reply); err != nil {
		return nil, err
	}
	return txnResponse(&reply), nil
}

// onlyReads tells whether none of the operations of a txn can change anything.
func onlyReads(ops []*pb.RequestOp) bool {
	for _, op := range ops {
		switch request := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
		case *pb.RequestOp_RequestTxn:
			if !onlyReads(request.RequestTxn.Success) || !onlyReads(request.RequestTxn.Failure) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func (c kvClient) Compact(
	ctx context.Context, in *pb.CompactionRequest, _ ...grpc.CallOption,
) (*pb.CompactionResponse, error) {
	var reply wire.CompactionResponse
	request := wire.CompactionRequest{Revision: in.Revision, Physical: in.Physical}
	if err := c.write(ctx, wire.OpCompact, &request, &reply); err != nil {
		return nil, err
	}
	return &pb.CompactionResponse{Header: header(reply.Header)}, nil
}
