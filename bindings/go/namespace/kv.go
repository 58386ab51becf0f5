package namespace

import (
	"context"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/mvccpb"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

type kvPrefix struct {
	etclite.KV
	pfx prefix
}

// NewKV is the part of a KV under a prefix. Compact is that of the whole store.
func NewKV(kv etclite.KV, pfx string) etclite.KV {
	return &kvPrefix{kv, prefix(pfx)}
}

func (kv *kvPrefix) Put(ctx context.Context, key, val string, opts ...etclite.OpOption) (*etclite.PutResponse, error) {
	resp, err := kv.Do(ctx, etclite.OpPut(key, val, opts...))
	return resp.Put(), err
}

func (kv *kvPrefix) Get(ctx context.Context, key string, opts ...etclite.OpOption) (*etclite.GetResponse, error) {
	resp, err := kv.Do(ctx, etclite.OpGet(key, opts...))
	return resp.Get(), err
}

func (kv *kvPrefix) Delete(ctx context.Context, key string, opts ...etclite.OpOption) (*etclite.DeleteResponse, error) {
	resp, err := kv.Do(ctx, etclite.OpDelete(key, opts...))
	return resp.Del(), err
}

func (kv *kvPrefix) Do(ctx context.Context, op etclite.Op) (etclite.OpResponse, error) {
	op, err := kv.whole(op)
	if err != nil {
		return etclite.OpResponse{}, err
	}
	resp, err := kv.KV.Do(ctx, op)
	if err != nil {
		return etclite.OpResponse{}, err
	}
	switch {
	case resp.Get() != nil:
		kv.stripAll(resp.Get().Kvs)
	case resp.Put() != nil:
		kv.strip(resp.Put().PrevKv)
	case resp.Del() != nil:
		kv.stripAll(resp.Del().PrevKvs)
	case resp.Txn() != nil:
		kv.stripTxn(resp.Txn())
	}
	return resp, nil
}

// whole is an operation as the store has it.
func (kv *kvPrefix) whole(op etclite.Op) (etclite.Op, error) {
	if op.IsTxn() {
		return kv.wholeTxn(op)
	}
	if len(op.KeyBytes()) == 0 {
		return op, rpctypes.ErrEmptyKey
	}
	key, end := kv.pfx.interval(op.KeyBytes(), op.RangeBytes())
	op.WithKeyBytes(key)
	op.WithRangeBytes(end)
	return op, nil
}

func (kv *kvPrefix) wholeTxn(op etclite.Op) (etclite.Op, error) {
	cmps, thenOps, elseOps := op.Txn()
	cmps, err := kv.wholeCmps(cmps)
	if err != nil {
		return op, err
	}
	if thenOps, err = kv.wholeOps(thenOps); err != nil {
		return op, err
	}
	if elseOps, err = kv.wholeOps(elseOps); err != nil {
		return op, err
	}
	return etclite.OpTxn(cmps, thenOps, elseOps), nil
}

func (kv *kvPrefix) wholeOps(ops []etclite.Op) ([]etclite.Op, error) {
	whole := make([]etclite.Op, len(ops))
	var err error
	for i := range ops {
		if whole[i], err = kv.whole(ops[i]); err != nil {
			return nil, err
		}
	}
	return whole, nil
}

func (kv *kvPrefix) wholeCmps(cmps []etclite.Cmp) ([]etclite.Cmp, error) {
	whole := make([]etclite.Cmp, len(cmps))
	for i := range cmps {
		if len(cmps[i].KeyBytes()) == 0 {
			return nil, rpctypes.ErrEmptyKey
		}
		whole[i] = cmps[i].Clone()
		key, end := kv.pfx.interval(cmps[i].KeyBytes(), cmps[i].RangeBytes())
		whole[i].WithKeyBytes(key)
		whole[i].WithRangeBytes(end)
	}
	return whole, nil
}

func (kv *kvPrefix) strip(found *mvccpb.KeyValue) {
	if found != nil {
		found.Key = kv.pfx.strip(found.Key)
	}
}

func (kv *kvPrefix) stripAll(found []*mvccpb.KeyValue) {
	for i := range found {
		kv.strip(found[i])
	}
}

func (kv *kvPrefix) stripTxn(resp *etclite.TxnResponse) {
	for _, op := range resp.Responses {
		if found := op.GetResponseRange(); found != nil {
			kv.stripAll(found.Kvs)
		}
		if put := op.GetResponsePut(); put != nil {
			kv.strip(put.PrevKv)
		}
		if deleted := op.GetResponseDeleteRange(); deleted != nil {
			kv.stripAll(deleted.PrevKvs)
		}
		if txn := op.GetResponseTxn(); txn != nil {
			kv.stripTxn((*etclite.TxnResponse)(txn))
		}
	}
}

func (kv *kvPrefix) Txn(ctx context.Context) etclite.Txn {
	return &txnPrefix{Txn: kv.KV.Txn(ctx), kv: kv}
}

type txnPrefix struct {
	etclite.Txn
	kv *kvPrefix
	// The first key that cannot be one of the namespace.
	err error
}

func (txn *txnPrefix) If(cs ...etclite.Cmp) etclite.Txn {
	whole, err := txn.kv.wholeCmps(cs)
	txn.note(err)
	txn.Txn.If(whole...)
	return txn
}

func (txn *txnPrefix) Then(ops ...etclite.Op) etclite.Txn {
	whole, err := txn.kv.wholeOps(ops)
	txn.note(err)
	txn.Txn.Then(whole...)
	return txn
}

func (txn *txnPrefix) Else(ops ...etclite.Op) etclite.Txn {
	whole, err := txn.kv.wholeOps(ops)
	txn.note(err)
	txn.Txn.Else(whole...)
	return txn
}

func (txn *txnPrefix) note(err error) {
	if txn.err == nil {
		txn.err = err
	}
}

func (txn *txnPrefix) Commit() (*etclite.TxnResponse, error) {
	if txn.err != nil {
		return nil, txn.err
	}
	resp, err := txn.Txn.Commit()
	if err != nil {
		return nil, err
	}
	txn.kv.stripTxn(resp)
	return resp, nil
}
