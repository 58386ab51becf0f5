package namespace_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/mvccpb"
	"github.com/etclite/etclite/bindings/go/namespace"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// patience is how long a test waits for what must happen before it fails.
const patience = 30 * time.Second

// open is a store, and a part of it; beside the part there are keys just before and after it.
func open(t *testing.T, pfx string) (*etclite.Client, etclite.KV) {
	t.Helper()
	cli, err := etclite.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cli.Close() })
	for _, key := range []string{pfx[:len(pfx)-1], pfx, etclite.GetPrefixRangeEnd(pfx), "z"} {
		if key == "" || key == "\x00" {
			continue
		}
		if _, err := cli.Put(patient(t), key, "not of the namespace"); err != nil {
			t.Fatal(err)
		}
	}
	return cli, namespace.NewKV(cli.KV, pfx)
}

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](t testing.TB) func(resp T, err error) T {
	return func(resp T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
}

// show is keys with their values.
func show(kvs []*mvccpb.KeyValue) []string {
	var all []string
	for _, kv := range kvs {
		all = append(all, fmt.Sprintf("%s=%s", kv.Key, kv.Value))
	}
	return all
}

// The prefixes under which all of it must hold: an ordinary one, and those whose range has no plain end.
var prefixes = []string{"app/", "app\xff", "\xff\xff"}

func TestCW01_KeysArePrefixedAndStripped(t *testing.T) {
	for _, pfx := range prefixes {
		cli, kv := open(t, pfx)
		ctx := patient(t)
		must[*etclite.PutResponse](t)(kv.Put(ctx, "a", "1"))
		must[*etclite.PutResponse](t)(kv.Put(ctx, "b", "2"))
		if got := show(must[*etclite.GetResponse](t)(cli.Get(ctx, pfx+"a")).Kvs); !slices.Equal(got, []string{pfx + "a=1"}) {
			t.Errorf("%q: %q", pfx, got)
		}
		if put := must[*etclite.PutResponse](t)(kv.Put(ctx, "a", "3", etclite.WithPrevKV())); string(put.PrevKv.Key) != "a" {
			t.Errorf("%q: %+v", pfx, put)
		}
		for name, opts := range map[string][]etclite.OpOption{
			"from": {etclite.WithFromKey()}, "prefix": {etclite.WithPrefix()}, "range": {etclite.WithRange("\x00")},
		} {
			key := map[string]string{"range": "\x00"}[name]
			got := must[*etclite.GetResponse](t)(kv.Get(ctx, key, opts...))
			if !slices.Equal(show(got.Kvs), []string{"a=3", "b=2"}) || got.Count != 2 {
				t.Errorf("%q, %s: %q", pfx, name, show(got.Kvs))
			}
		}
		if got := show(must[*etclite.GetResponse](t)(kv.Get(ctx, "a", etclite.WithRange("b"))).Kvs); !slices.Equal(got, []string{"a=3"}) {
			t.Errorf("%q: %q", pfx, got)
		}
		deleted := must[*etclite.DeleteResponse](t)(kv.Delete(ctx, "", etclite.WithFromKey(), etclite.WithPrevKV()))
		if got := show(deleted.PrevKvs); !slices.Equal(got, []string{"a=3", "b=2"}) {
			t.Errorf("%q: %q", pfx, got)
		}
	}
}

func TestCW01_Txns(t *testing.T) {
	for _, pfx := range prefixes {
		cli, kv := open(t, pfx)
		ctx := patient(t)
		must[*etclite.PutResponse](t)(kv.Put(ctx, "a", "1"))
		inner := etclite.OpTxn([]etclite.Cmp{etclite.Compare(etclite.Value("a"), "=", "1")}, []etclite.Op{etclite.OpGet("a")}, nil)
		resp := must[*etclite.TxnResponse](t)(kv.Txn(ctx).
			If(etclite.Compare(etclite.Version("a"), "=", 1), etclite.Compare(etclite.Version("a").WithPrefix(), "<", 2),
				etclite.Compare(etclite.Version("\x00").WithRange("\x00"), "=", 1)).
			Then(etclite.OpPut("b", "2", etclite.WithPrevKV()), etclite.OpGet("", etclite.WithPrefix()), inner,
				etclite.OpDelete("c", etclite.WithPrevKV()), etclite.OpPut("a", "3", etclite.WithPrevKV())).
			Else(etclite.OpGet("a")).
			Commit())
		if !resp.Succeeded {
			t.Fatalf("%q: %+v", pfx, resp)
		}
		if got := show(resp.Responses[1].GetResponseRange().Kvs); !slices.Equal(got, []string{"a=1", "b=2"}) {
			t.Errorf("%q: %q", pfx, got)
		}
		if got := show(resp.Responses[2].GetResponseTxn().Responses[0].GetResponseRange().Kvs); !slices.Equal(got, []string{"a=1"}) {
			t.Errorf("%q: %q", pfx, got)
		}
		if got := resp.Responses[4].GetResponsePut().PrevKv; string(got.Key) != "a" {
			t.Errorf("%q: %+v", pfx, got)
		}
		op := etclite.OpTxn(nil, []etclite.Op{etclite.OpDelete("", etclite.WithPrefix(), etclite.WithPrevKV())}, nil)
		done := must[etclite.OpResponse](t)(kv.Do(ctx, op))
		if got := show(done.Txn().Responses[0].GetResponseDeleteRange().PrevKvs); !slices.Equal(got, []string{"a=3", "b=2"}) {
			t.Errorf("%q: %q", pfx, got)
		}
		if left := must[*etclite.GetResponse](t)(cli.Get(ctx, "", etclite.WithPrefix(), etclite.WithCountOnly())); left.Count < 3 {
			t.Errorf("%q: %d keys of others are left", pfx, left.Count)
		}
	}
}

// An empty key is no key of a namespace either: the key that is the prefix itself cannot be reached.
func TestCW01_TheEmptyKeyIsRefused(t *testing.T) {
	_, kv := open(t, "app/")
	ctx := patient(t)
	_, put := kv.Put(ctx, "", "x")
	_, get := kv.Get(ctx, "")
	_, del := kv.Delete(ctx, "")
	_, ranged := kv.Get(ctx, "", etclite.WithRange("z"))
	_, do := kv.Do(ctx, etclite.OpTxn(nil, nil, []etclite.Op{etclite.OpPut("", "x")}))
	_, cmp := kv.Txn(ctx).If(etclite.Compare(etclite.Version(""), "=", 0)).Commit()
	_, then := kv.Txn(ctx).Then(etclite.OpPut("", "x")).Commit()
	_, otherwise := kv.Txn(ctx).Else(etclite.OpTxn(nil, []etclite.Op{etclite.OpDelete("")}, nil)).Commit()
	for i, err := range []error{put, get, del, ranged, do, cmp, then, otherwise} {
		if err != rpctypes.ErrEmptyKey {
			t.Errorf("%d: %v", i, err)
		}
	}
	if _, err := kv.Get(ctx, "k", etclite.WithSort(9, 9)); err != rpctypes.ErrInvalidSortOption {
		t.Errorf("%v", err)
	}
}

func TestCW01_AWatchSeesOnlyItsOwn(t *testing.T) {
	for _, pfx := range prefixes {
		for name, opts := range map[string][]etclite.OpOption{"prefix": {etclite.WithPrefix()}, "from": {etclite.WithFromKey()}} {
			cli, kv := open(t, pfx)
			watcher := namespace.NewWatcher(cli.Watcher, pfx)
			ctx := patient(t)
			watch := watcher.Watch(ctx, "", append(opts, etclite.WithPrevKV())...)
			one := watcher.Watch(ctx, "b")
			must[*etclite.PutResponse](t)(cli.Put(ctx, pfx, "not of the namespace"))
			must[*etclite.PutResponse](t)(cli.Put(ctx, "\xff\xff\xff\xff", "of some"))
			must[*etclite.PutResponse](t)(kv.Put(ctx, "a", "1"))
			must[*etclite.PutResponse](t)(kv.Put(ctx, "a", "2"))
			must[*etclite.PutResponse](t)(kv.Put(ctx, "b", "3"))
			must[*etclite.DeleteResponse](t)(kv.Delete(ctx, "b"))
			want := []string{"PUT a=1 ", "PUT a=2 a=1", "PUT b=3 ", "DELETE b= b=3"}
			if pfx == "\xff\xff" {
				want = append([]string{"PUT \xff\xff=of some "}, want...)
			}
			if got := events(t, watch, len(want)); !slices.Equal(got, want) {
				t.Errorf("%q, %s: %q", pfx, name, got)
			}
			if got := events(t, one, 2); !slices.Equal(got, []string{"PUT b=3 ", "DELETE b= "}) {
				t.Errorf("%q: %q", pfx, got)
			}
			if err := watcher.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func events(t *testing.T, watch etclite.WatchChan, n int) (all []string) {
	t.Helper()
	for len(all) < n {
		wr, ok := <-watch
		if !ok || wr.Err() != nil {
			t.Fatalf("%v after %q", wr.Err(), all)
		}
		for _, event := range wr.Events {
			prev := ""
			if event.PrevKv != nil {
				prev = show([]*mvccpb.KeyValue{event.PrevKv})[0]
			}
			all = append(all, fmt.Sprintf("%s %s=%s %s", event.Type, event.Kv.Key, event.Kv.Value, prev))
		}
	}
	return all
}

func TestCW01_AWatchEndsWithItsContextOrItsWatcher(t *testing.T) {
	cli, kv := open(t, "app/")
	watcher := namespace.NewWatcher(cli.Watcher, "app/")
	ctx, cancel := context.WithCancel(context.Background())
	canceled := watcher.Watch(ctx, "k", etclite.WithCreatedNotify())
	if wr := <-canceled; !wr.Created {
		t.Errorf("%+v", wr)
	}
	cancel()
	for range canceled {
		t.Error("there is something after the end")
	}
	// Nobody reads what this one has.
	unread := watcher.Watch(context.Background(), "k")
	must[*etclite.PutResponse](t)(kv.Put(patient(t), "k", ""))
	if err := watcher.Close(); err != nil {
		t.Error(err)
	}
	for range unread {
	}
}

func TestCW01_KeysOfALease(t *testing.T) {
	cli, kv := open(t, "app/")
	lease := namespace.NewLease(cli.Lease, "app/")
	ctx := patient(t)
	granted := must[*etclite.LeaseGrantResponse](t)(lease.Grant(ctx, 60))
	must[*etclite.PutResponse](t)(kv.Put(ctx, "k", "", etclite.WithLease(granted.ID)))
	must[*etclite.PutResponse](t)(cli.Put(ctx, "z", "", etclite.WithLease(granted.ID)))
	must[*etclite.PutResponse](t)(cli.Put(ctx, "app", "", etclite.WithLease(granted.ID)))
	told := must[*etclite.LeaseTimeToLiveResponse](t)(lease.TimeToLive(ctx, granted.ID, etclite.WithAttachedKeys()))
	if len(told.Keys) != 1 || string(told.Keys[0]) != "k" || told.GrantedTTL != 60 {
		t.Errorf("%q", told.Keys)
	}
	must[*etclite.LeaseRevokeResponse](t)(lease.Revoke(ctx, granted.ID))
	if told := must[*etclite.LeaseTimeToLiveResponse](t)(lease.TimeToLive(ctx, granted.ID)); told.TTL != -1 {
		t.Errorf("%+v", told)
	}
}

// A program puts the namespace in the client's place, as etcd's documentation has it, and closes only the client.
func TestClosingTheClientEndsTheWatchesOfItsNamespace(t *testing.T) {
	cli, _ := open(t, "p/")
	cli.Watcher = namespace.NewWatcher(cli.Watcher, "p/")
	cli.Lease = namespace.NewLease(cli.Lease, "p/")
	unread := cli.Watch(context.Background(), "", etclite.WithPrefix())
	if _, err := cli.Put(patient(t), "p/k", "v"); err != nil {
		t.Fatal(err)
	}
	passing := func() bool {
		stacks := make([]byte, 1<<20)
		return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "(*watcherPrefix).pass")
	}
	for start := time.Now(); !passing(); runtime.Gosched() {
		if time.Since(start) > patience {
			t.Fatal("nothing is passed on")
		}
	}
	if err := cli.Close(); err != nil {
		t.Fatal(err)
	}
	if passing() {
		t.Error("it is still being passed on")
	}
	if _, ok := <-unread; ok {
		t.Error("the channel is open")
	}
}
