package concurrency_test

import (
	"context"
	"testing"
	"time"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/concurrency"
	"github.com/etclite/etclite/bindings/go/internal/decided"
)

// patience is how long a test waits for what must happen before it fails.
const patience = 30 * time.Second

func open(t testing.TB) *etclite.Client {
	t.Helper()
	cli, err := etclite.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cli.Close() })
	return cli
}

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func session(t testing.TB, cli *etclite.Client, opts ...concurrency.SessionOption) *concurrency.Session {
	t.Helper()
	s, err := concurrency.NewSession(cli, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// result is what a call in a goroutine of its own returns.
func result(call func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	return done
}

// within is the result of a call that must return.
func within(t testing.TB, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatalf("nothing within %v", patience)
	}
	panic("unreachable")
}

// awaitCount waits until there are so many keys under a prefix.
func awaitCount(t testing.TB, cli *etclite.Client, pfx string, want int64) {
	t.Helper()
	ctx := patient(t)
	for {
		resp, err := cli.Get(ctx, pfx, etclite.WithPrefix(), etclite.WithCountOnly())
		must(t, err)
		if resp.Count == want {
			return
		}
		wctx, cancel := context.WithCancel(ctx)
		wr, ok := <-cli.Watch(wctx, pfx, etclite.WithPrefix(), etclite.WithRev(resp.Header.Revision+1))
		cancel()
		if !ok || wr.Err() != nil {
			t.Fatalf("%d keys instead of %d: %v", resp.Count, want, wr.Err())
		}
	}
}

// count is how many keys there are under a prefix.
func count(t testing.TB, cli *etclite.Client, pfx string) int64 {
	t.Helper()
	resp, err := cli.Get(patient(t), pfx, etclite.WithPrefix(), etclite.WithCountOnly())
	must(t, err)
	return resp.Count
}

func revision(t testing.TB, cli *etclite.Client) int64 {
	t.Helper()
	resp, err := cli.Get(patient(t), "k")
	must(t, err)
	return resp.Header.Revision
}

// isOwner tells whether a mutex still holds its lock, as the store sees it.
func isOwner(t testing.TB, cli *etclite.Client, m *concurrency.Mutex) bool {
	t.Helper()
	resp, err := cli.Txn(patient(t)).If(m.IsOwner()).Commit()
	must(t, err)
	return resp.Succeeded
}

// A hookedKV calls a function before and after each commit of a txn: what it returns is the commit's error, unless it is nil.
// If the context of the txn ends in the meantime the commit took effect and its error is the context's, as it may be unless the
// caller wants to know.
type hookedKV struct {
	etclite.KV
	before, after func() error
}

type hookedTxn struct {
	etclite.Txn
	kv  *hookedKV
	ctx context.Context
}

func (kv *hookedKV) Txn(ctx context.Context) etclite.Txn { return &hookedTxn{kv.KV.Txn(ctx), kv, ctx} }

func (txn *hookedTxn) If(cmps ...etclite.Cmp) etclite.Txn {
	txn.Txn.If(cmps...)
	return txn
}

func (txn *hookedTxn) Then(ops ...etclite.Op) etclite.Txn {
	txn.Txn.Then(ops...)
	return txn
}

func (txn *hookedTxn) Else(ops ...etclite.Op) etclite.Txn {
	txn.Txn.Else(ops...)
	return txn
}

func (txn *hookedTxn) Commit() (*etclite.TxnResponse, error) {
	if txn.kv.before != nil {
		if err := txn.kv.before(); err != nil {
			return nil, err
		}
	}
	resp, err := txn.Txn.Commit()
	if txn.kv.after != nil && err == nil {
		if err := txn.kv.after(); err != nil {
			return nil, err
		}
	}
	if err == nil && txn.ctx.Err() != nil && !decided.Wanted(txn.ctx) {
		return nil, txn.ctx.Err()
	}
	return resp, err
}
