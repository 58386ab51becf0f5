package etcdv3

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/etclite/etclite/bindings/go/internal/wire"
	ours "github.com/etclite/etclite/bindings/go/mvccpb"
)

// Messages are converted field by field: of etcd's generated types only the fields are the same in all releases, and enums
// are numbers in all.

func rangeRequest(in *pb.RangeRequest) *wire.RangeRequest {
	return &wire.RangeRequest{
		Key: in.Key, RangeEnd: in.RangeEnd, Limit: in.Limit, Revision: in.Revision,
		SortOrder: int32(in.SortOrder), SortTarget: int32(in.SortTarget),
		Serializable: in.Serializable, KeysOnly: in.KeysOnly, CountOnly: in.CountOnly,
		MinModRevision: in.MinModRevision, MaxModRevision: in.MaxModRevision,
		MinCreateRevision: in.MinCreateRevision, MaxCreateRevision: in.MaxCreateRevision,
	}
}

func putRequest(in *pb.PutRequest) *wire.PutRequest {
	return &wire.PutRequest{
		Key: in.Key, Value: in.Value, Lease: in.Lease,
		PrevKv: in.PrevKv, IgnoreValue: in.IgnoreValue, IgnoreLease: in.IgnoreLease,
	}
}

func deleteRequest(in *pb.DeleteRangeRequest) *wire.DeleteRangeRequest {
	return &wire.DeleteRangeRequest{Key: in.Key, RangeEnd: in.RangeEnd, PrevKv: in.PrevKv}
}

func txnRequest(in *pb.TxnRequest) *wire.TxnRequest {
	out := &wire.TxnRequest{Success: requestOps(in.Success), Failure: requestOps(in.Failure)}
	for _, compare := range in.Compare {
		out.Compare = append(out.Compare, compareOf(compare))
	}
	return out
}

func compareOf(in *pb.Compare) wire.Compare {
	out := wire.Compare{Result: int32(in.Result), Target: int32(in.Target), Key: in.Key, RangeEnd: in.RangeEnd}
	switch operand := in.TargetUnion.(type) {
	case *pb.Compare_Version:
		out.Operand, out.Int = wire.OperandVersion, operand.Version
	case *pb.Compare_CreateRevision:
		out.Operand, out.Int = wire.OperandCreateRevision, operand.CreateRevision
	case *pb.Compare_ModRevision:
		out.Operand, out.Int = wire.OperandModRevision, operand.ModRevision
	case *pb.Compare_Value:
		out.Operand, out.Value = wire.OperandValue, operand.Value
	case *pb.Compare_Lease:
		out.Operand, out.Int = wire.OperandLease, operand.Lease
	}
	return out
}

func requestOps(in []*pb.RequestOp) []wire.RequestOp {
	var out []wire.RequestOp
	for _, op := range in {
		switch request := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			out = append(out, wire.RequestOp{Range: rangeRequest(request.RequestRange)})
		case *pb.RequestOp_RequestPut:
			out = append(out, wire.RequestOp{Put: putRequest(request.RequestPut)})
		case *pb.RequestOp_RequestDeleteRange:
			out = append(out, wire.RequestOp{DeleteRange: deleteRequest(request.RequestDeleteRange)})
		case *pb.RequestOp_RequestTxn:
			out = append(out, wire.RequestOp{Txn: txnRequest(request.RequestTxn)})
		default:
			// One that is empty is refused by the store, as by etcd.
			out = append(out, wire.RequestOp{})
		}
	}
	return out
}

func header(in *wire.ResponseHeader) *pb.ResponseHeader {
	if in == nil {
		return nil
	}
	return &pb.ResponseHeader{
		ClusterId: in.ClusterId, MemberId: in.MemberId, Revision: in.Revision, RaftTerm: in.RaftTerm,
	}
}

func keyValue(in *ours.KeyValue) *mvccpb.KeyValue {
	if in == nil {
		return nil
	}
	return &mvccpb.KeyValue{
		Key: in.Key, Value: in.Value, Lease: in.Lease,
		CreateRevision: in.CreateRevision, ModRevision: in.ModRevision, Version: in.Version,
	}
}

func keyValues(in []*ours.KeyValue) []*mvccpb.KeyValue {
	var out []*mvccpb.KeyValue
	for _, kv := range in {
		out = append(out, keyValue(kv))
	}
	return out
}

func events(in []*ours.Event) []*mvccpb.Event {
	var out []*mvccpb.Event
	for _, event := range in {
		converted := &mvccpb.Event{Kv: keyValue(event.Kv), PrevKv: keyValue(event.PrevKv)}
		if event.Type == ours.DELETE {
			converted.Type = mvccpb.DELETE
		}
		out = append(out, converted)
	}
	return out
}

func rangeResponse(in *wire.RangeResponse) *pb.RangeResponse {
	return &pb.RangeResponse{Header: header(in.Header), Kvs: keyValues(in.Kvs), More: in.More, Count: in.Count}
}

func putResponse(in *wire.PutResponse) *pb.PutResponse {
	return &pb.PutResponse{Header: header(in.Header), PrevKv: keyValue(in.PrevKv)}
}

func deleteResponse(in *wire.DeleteRangeResponse) *pb.DeleteRangeResponse {
	return &pb.DeleteRangeResponse{Header: header(in.Header), Deleted: in.Deleted, PrevKvs: keyValues(in.PrevKvs)}
}

func txnResponse(in *wire.TxnResponse) *pb.TxnResponse {
	out := &pb.TxnResponse{Header: header(in.Header), Succeeded: in.Succeeded}
	for _, op := range in.Responses {
		out.Responses = append(out.Responses, responseOp(op))
	}
	return out
}

func responseOp(in *wire.ResponseOp) *pb.ResponseOp {
	switch {
	case in.Range != nil:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: rangeResponse(in.Range)}}
	case in.Put != nil:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: putResponse(in.Put)}}
	case in.DeleteRange != nil:
		response := &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: deleteResponse(in.DeleteRange)}
		return &pb.ResponseOp{Response: response}
	case in.Txn != nil:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: txnResponse(in.Txn)}}
	}
	return &pb.ResponseOp{}
}
