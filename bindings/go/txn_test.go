package etclite

import (
	"reflect"
	"testing"

	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/mvccpb"
)

// As etcd's client, with its words.
func TestTxnOutOfOrderPanics(t *testing.T) {
	for want, f := range map[string]func(Txn){
		"cannot call If twice!":        func(txn Txn) { txn.If().If() },
		"cannot call If after Then!":   func(txn Txn) { txn.Then().If() },
		"cannot call If after Else!":   func(txn Txn) { txn.Else().If() },
		"cannot call Then twice!":      func(txn Txn) { txn.If().Then().Then() },
		"cannot call Then after Else!": func(txn Txn) { txn.If().Else().Then() },
		"cannot call Else twice!":      func(txn Txn) { txn.If().Then().Else().Else() },
		"Unknown Op":                   func(txn Txn) { txn.Then(Op{}) },
	} {
		if got := panicOf(func() { f(kvCalls{}.Txn(background)) }); got != want {
			t.Errorf("%v instead of %q", got, want)
		}
	}
}

func TestTxnIsCommittedAsAWriteIfItCanWrite(t *testing.T) {
	k, kv := []byte("k"), &mvccpb.KeyValue{Key: []byte("k"), ModRevision: 2}
	request := &wire.TxnRequest{
		Compare: []wire.Compare{{Key: k, Target: 1, Operand: wire.OperandCreateRevision}},
		Success: []wire.RequestOp{{Put: &wire.PutRequest{Key: k, Value: []byte("v")}}, {Range: &wire.RangeRequest{Key: k}}},
		Failure: []wire.RequestOp{{DeleteRange: &wire.DeleteRangeRequest{Key: k}}},
	}
	reply := &wire.TxnResponse{Header: header(3), Succeeded: true, Responses: []*ResponseOp{
		{Put: &wire.PutResponse{Header: header(3)}},
		{Range: &wire.RangeResponse{Header: header(3), Kvs: []*mvccpb.KeyValue{kv}, Count: 1}},
	}}
	caller := expectWrite(t, wire.OpTxn, request, reply)
	txn := kvCalls{caller}.Txn(background).If(Compare(CreateRevision("k"), "=", 0)).Then(OpPut("k", "v"), OpGet("k")).Else(OpDelete("k"))
	for range 2 {
		resp, err := txn.Commit()
		if err != nil || !resp.Succeeded || resp.Header.Revision != 3 {
			t.Fatalf("%+v, %v", resp, err)
		}
		got := (*GetResponse)(resp.Responses[1].GetResponseRange())
		if !reflect.DeepEqual(got.Kvs, []*mvccpb.KeyValue{kv}) || resp.Responses[0].GetResponsePut().Header.Revision != 3 {
			t.Errorf("%+v", resp)
		}
		if resp.Responses[0].GetResponseRange() != nil || resp.Responses[0].GetResponseDeleteRange() != nil || resp.Responses[1].GetResponseTxn() != nil {
			t.Errorf("%+v", resp)
		}
	}
	if caller.calls != 2 {
		t.Errorf("%d calls", caller.calls)
	}
}

func TestTxnThatCannotWriteIsARead(t *testing.T) {
	k := []byte("k")
	get := wire.RequestOp{Range: &wire.RangeRequest{Key: k}}
	request := &wire.TxnRequest{Success: []wire.RequestOp{get, {Txn: &wire.TxnRequest{Failure: []wire.RequestOp{get}}}}}
	kv := kvCalls{expectRead(t, wire.OpTxn, request, &wire.TxnResponse{Header: header(3), Succeeded: true})}
	if _, err := kv.Txn(background).Then(OpGet("k"), OpTxn(nil, nil, []Op{OpGet("k")})).Commit(); err != nil {
		t.Error(err)
	}
	nested := &wire.TxnRequest{Failure: []wire.RequestOp{{Txn: &wire.TxnRequest{Success: []wire.RequestOp{{Put: &wire.PutRequest{Key: k}}}}}}}
	kv = kvCalls{expectWrite(t, wire.OpTxn, nested, &wire.TxnResponse{Header: header(3)})}
	if _, err := kv.Txn(background).Else(OpTxn(nil, []Op{OpPut("k", "")}, nil)).Commit(); err != nil {
		t.Error(err)
	}
}

func TestTxnKeepsWhatItWasGiven(t *testing.T) {
	request := &wire.TxnRequest{
		Compare: []wire.Compare{{Key: []byte("k"), Operand: wire.OperandVersion}},
		Success: []wire.RequestOp{{Put: &wire.PutRequest{Key: []byte("k")}}},
	}
	kv := kvCalls{expectWrite(t, wire.OpTxn, request, &wire.TxnResponse{})}
	cmps, ops := []Cmp{Compare(Version("k"), "=", 0)}, []Op{OpPut("k", "")}
	txn := kv.Txn(background).If(cmps...).Then(ops...)
	cmps[0].KeyBytes()[0] = 'x'
	ops[0] = OpPut("other", "")
	if _, err := txn.Commit(); err != nil {
		t.Error(err)
	}
}
