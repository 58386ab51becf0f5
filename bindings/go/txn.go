package etclite

import (
	"context"
	"sync"

	"github.com/etclite/etclite/bindings/go/internal/wire"
)

// A Txn is a txn in the making: If, Then and Else in this order, each at most once, then Commit. It panics on any other order,
// as etcd's client does.
//
//	resp, err := cli.Txn(ctx).
//		If(etclite.Compare(etclite.Version("k"), "=", 0)).
//		Then(etclite.OpPut("k", "v")).
//		Else(etclite.OpGet("k")).
//		Commit()
type Txn interface {
	// If sets the conditions, all of which must hold. No condition at all holds.
	If(cs ...Cmp) Txn

	// Then sets what is executed if they hold, in order and all in one revision.
	Then(ops ...Op) Txn

	// Else sets what is executed if one of them does not hold.
	Else(ops ...Op) Txn

	// Commit executes the txn. A condition that does not hold is no error: see Succeeded.
	Commit() (*TxnResponse, error)
}

type txn struct {
	kv  kvCalls
	ctx context.Context

	// Guards what follows, for programs that build one txn from several goroutines.
	mu    sync.Mutex
	cif   bool
	cthen bool
	celse bool
	op    Op
}

func (txn *txn) If(cs ...Cmp) Txn {
	txn.mu.Lock()
	defer txn.mu.Unlock()
	switch {
	case txn.cif:
		panic("cannot call If twice!")
	case txn.cthen:
		panic("cannot call If after Then!")
	case txn.celse:
		panic("cannot call If after Else!")
	}
	txn.cif = true
	txn.op.cmps = cloneCmps(cs)
	return txn
}

func (txn *txn) Then(ops ...Op) Txn {
	txn.mu.Lock()
	defer txn.mu.Unlock()
	switch {
	case txn.cthen:
		panic("cannot call Then twice!")
	case txn.celse:
		panic("cannot call Then after Else!")
	}
	txn.cthen = true
	txn.op.thenOps = known(ops)
	return txn
}

func (txn *txn) Else(ops ...Op) Txn {
	txn.mu.Lock()
	defer txn.mu.Unlock()
	if txn.celse {
		panic("cannot call Else twice!")
	}
	txn.celse = true
	txn.op.elseOps = known(ops)
	return txn
}

// known is a copy of the operations, each of which is of a kind.
func known(ops []Op) []Op {
	for i := range ops {
		if ops[i].t == 0 {
			panic("Unknown Op")
		}
	}
	return append([]Op(nil), ops...)
}

func (txn *txn) Commit() (*TxnResponse, error) {
	txn.mu.Lock()
	defer txn.mu.Unlock()
	txn.op.t = tTxn
	if err := txn.op.check(wire.TxnDepthMax); err != nil {
		return nil, err
	}
	return txn.kv.commit(txn.ctx, &txn.op)
}
