package etclite

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/mvccpb"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

func TestKVCalls(t *testing.T) {
	k, kv := []byte("k"), &mvccpb.KeyValue{Key: []byte("k"), Value: []byte("v"), CreateRevision: 2, ModRevision: 3, Version: 2}

	put := kvCalls{expectWrite(t, wire.OpPut, &wire.PutRequest{Key: k, Value: []byte("w"), PrevKv: true},
		&wire.PutResponse{Header: header(4), PrevKv: kv})}
	if got, err := put.Put(background, "k", "w", WithPrevKV()); err != nil || !reflect.DeepEqual(got, &PutResponse{Header: header(4), PrevKv: kv}) {
		t.Errorf("%+v, %v", got, err)
	}
	get := kvCalls{expectRead(t, wire.OpRange, &wire.RangeRequest{Key: k, RangeEnd: []byte("l"), Limit: 1},
		&wire.RangeResponse{Header: header(4), Kvs: []*mvccpb.KeyValue{kv}, More: true, Count: 2})}
	want := &GetResponse{Header: header(4), Kvs: []*mvccpb.KeyValue{kv}, More: true, Count: 2}
	if got, err := get.Get(background, "k", WithPrefix(), WithLimit(1)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	del := kvCalls{expectWrite(t, wire.OpDeleteRange, &wire.DeleteRangeRequest{Key: k},
		&wire.DeleteRangeResponse{Header: header(5), Deleted: 1, PrevKvs: []*mvccpb.KeyValue{kv}})}
	wantDelete := &DeleteResponse{Header: header(5), Deleted: 1, PrevKvs: []*mvccpb.KeyValue{kv}}
	if got, err := del.Delete(background, "k"); err != nil || !reflect.DeepEqual(got, wantDelete) {
		t.Errorf("%+v, %v", got, err)
	}
	compact := kvCalls{expectWrite(t, wire.OpCompact, &wire.CompactionRequest{Revision: 3, Physical: true},
		&wire.CompactionResponse{Header: header(5)})}
	if got, err := compact.Compact(background, 3, WithCompactPhysical()); err != nil || got.Header.Revision != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDoGivesTheAnswerOfTheOperationsKind(t *testing.T) {
	k := []byte("k")
	get := kvCalls{expectRead(t, wire.OpRange, &wire.RangeRequest{Key: k}, &wire.RangeResponse{Count: 3})}
	if got, err := get.Do(background, OpGet("k")); err != nil || got.Get().Count != 3 || got.Put() != nil || got.Del() != nil || got.Txn() != nil {
		t.Errorf("%+v, %v", got, err)
	}
	put := kvCalls{expectWrite(t, wire.OpPut, &wire.PutRequest{Key: k}, &wire.PutResponse{Header: header(2)})}
	if got, err := put.Do(background, OpPut("k", "")); err != nil || got.Put().Header.Revision != 2 || got.Get() != nil {
		t.Errorf("%+v, %v", got, err)
	}
	del := kvCalls{expectWrite(t, wire.OpDeleteRange, &wire.DeleteRangeRequest{Key: k}, &wire.DeleteRangeResponse{Deleted: 1})}
	if got, err := del.Do(background, OpDelete("k")); err != nil || got.Del().Deleted != 1 || got.Get() != nil {
		t.Errorf("%+v, %v", got, err)
	}
	op := OpTxn(nil, []Op{OpPut("k", "")}, nil)
	txn := kvCalls{expectWrite(t, wire.OpTxn, &wire.TxnRequest{Success: []wire.RequestOp{{Put: &wire.PutRequest{Key: k}}}},
		&wire.TxnResponse{Succeeded: true})}
	if got, err := txn.Do(background, op); err != nil || !got.Txn().Succeeded || got.Get() != nil {
		t.Errorf("%+v, %v", got, err)
	}
	answers := []OpResponse{(&GetResponse{}).OpResponse(), (&PutResponse{}).OpResponse(), (&DeleteResponse{}).OpResponse(), (&TxnResponse{}).OpResponse()}
	if answers[0].Get() == nil || answers[1].Put() == nil || answers[2].Del() == nil || answers[3].Txn() == nil {
		t.Error("an answer is not told under its kind")
	}
}

func TestErrorsOfCallsAreReturnedAsTheyAre(t *testing.T) {
	kv := kvCalls{&fakeCaller{t: t, writes: true, op: wire.OpPut, want: &wire.PutRequest{Key: []byte("k")}, err: rpctypes.ErrNoSpace}}
	if got, err := kv.Put(background, "k", ""); got != nil || err != rpctypes.ErrNoSpace {
		t.Errorf("%+v, %v", got, err)
	}
	kv = kvCalls{&fakeCaller{t: t, op: wire.OpRange, want: &wire.RangeRequest{Key: []byte("k")}, err: context.Canceled}}
	if got, err := kv.Get(background, "k"); got != nil || err != context.Canceled {
		t.Errorf("%+v, %v", got, err)
	}
	kv = kvCalls{expectRead(t, wire.OpRange, &wire.RangeRequest{Key: []byte("k")}, broken{})}
	if got, err := kv.Get(background, "k"); got != nil || !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A broken message is a reply that nobody can read.
type broken struct{}

func (broken) Append(b []byte) []byte { return append(b, 0xff) }
func (broken) Decode(b []byte) error  { return nil }

func TestWhatIsRefusedBeforeItIsCalled(t *testing.T) {
	caller := &fakeCaller{t: t}
	kv := kvCalls{caller}
	if _, err := kv.Get(background, "k", WithSort(9, 9)); err != rpctypes.ErrInvalidSortOption {
		t.Errorf("%v", err)
	}
	if got := panicOf(func() { _, _ = kv.Do(background, Op{}) }); got != "Unknown Op" {
		t.Errorf("%v", got)
	}
	if got := panicOf(func() { _, _ = kv.Do(background, OpTxn(nil, nil, []Op{{}})) }); got != "Unknown Op" {
		t.Errorf("%v", got)
	}
	// A slice that holds a txn made of it has no end.
	endless := make([]Op, 2)
	endless[0], endless[1] = OpTxn(nil, endless, endless), OpTxn(nil, endless, endless)
	if _, err := kv.Do(background, endless[0]); err != rpctypes.ErrTooManyOps {
		t.Errorf("%v", err)
	}
	if _, err := kv.Txn(background).Then(endless...).Commit(); err != rpctypes.ErrTooManyOps {
		t.Errorf("%v", err)
	}
	if caller.calls != 0 {
		t.Errorf("%d calls", caller.calls)
	}
}

func TestRequestsOfReadsAreReusedAndThoseOfWritesAreNot(t *testing.T) {
	recorder := &recorder{}
	kv := kvCalls{recorder}
	for range 2 {
		_, _ = kv.Put(background, "a-key", "a value")
	}
	if &recorder.writes[0][0] == &recorder.writes[1][0] || string(recorder.writes[0]) != string(recorder.writes[1]) {
		t.Error("a request that was given away is written to")
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = kv.Put(background, "a-key", "a value") }); n > 6 {
		t.Errorf("a put allocates %v times", n)
	}
}

// A recorder keeps the requests of writes.
type recorder struct{ writes [][]byte }

func (r *recorder) read(context.Context, uint32, []byte) ([]byte, error) { return nil, nil }

func (r *recorder) write(_ context.Context, _ uint32, req []byte) ([]byte, error) {
	if len(r.writes) < 2 {
		r.writes = append(r.writes, req)
	}
	return nil, nil
}
