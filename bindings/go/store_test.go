package etclite

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// Reads and writes against the store itself. Tests named B... are cases from public reports: what people met, and the right answer.

func TestEveryKindOfOperation(t *testing.T) {
	c := disk(t)
	if revision := put(t, c, "a", "1"); revision != 2 {
		t.Errorf("revision %d", revision)
	}
	again, err := c.Put(background, "a", "2", WithPrevKV())
	if err != nil || string(again.PrevKv.Value) != "1" || again.Header.Revision != 3 || again.Header.ClusterId == 0 {
		t.Errorf("%+v, %v", again, err)
	}
	got, err := c.Do(background, OpGet("a"))
	if kv := got.Get().Kvs[0]; err != nil || kv.CreateRevision != 2 || kv.ModRevision != 3 || kv.Version != 2 {
		t.Errorf("%+v, %v", kv, err)
	}
	txn, err := c.Txn(background).
		If(Compare(Version("a"), "=", 2), Compare(Value("a"), "=", "2"), Compare(CreateRevision("b"), "=", 0)).
		Then(OpPut("b", "1"), OpGet("", WithPrefix()), OpDelete("a", WithPrevKV()), OpTxn(nil, []Op{OpPut("c", "1")}, nil)).
		Commit()
	if err != nil || !txn.Succeeded || txn.Header.Revision != 4 || len(txn.Responses) != 4 {
		t.Fatalf("%+v, %v", txn, err)
	}
	equal(t, shown(txn.Responses[1].GetResponseRange().Kvs), []string{"a=2", "b=1"})
	equal(t, shown(txn.Responses[2].GetResponseDeleteRange().PrevKvs), []string{"a=2"})
	if !txn.Responses[3].GetResponseTxn().Succeeded {
		t.Error("no compares do not hold")
	}
	failed, err := c.Txn(background).If(Compare(ModRevision("b"), ">", 4)).Then(OpPut("d", "1")).Else(OpGet("b")).Commit()
	if err != nil || failed.Succeeded || failed.Header.Revision != 4 {
		t.Errorf("%+v, %v", failed, err)
	}
	deleted, err := c.Delete(background, "", WithPrefix(), WithPrevKV())
	equal(t, shown(deleted.PrevKvs), []string{"b=1", "c=1"})
	if err != nil || deleted.Deleted != 2 || deleted.Header.Revision != 5 {
		t.Errorf("%+v, %v", deleted, err)
	}
	equal(t, get(t, c, "", WithPrefix(), WithRev(4)), []string{"b=1", "c=1"})
	if _, err := c.Compact(background, 5, WithCompactPhysical()); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(background, "b", WithRev(4)); err != rpctypes.ErrCompacted {
		t.Errorf("%v", err)
	}
	if _, err := c.Get(background, "b", WithRev(6)); err != rpctypes.ErrFutureRev {
		t.Errorf("%v", err)
	}
	if _, err := c.Put(background, "", "v"); err != rpctypes.ErrEmptyKey {
		t.Errorf("%v", err)
	}
}

func TestOptionsOfReads(t *testing.T) {
	c := memory(t)
	for _, key := range []string{"a", "c", "b"} {
		put(t, c, key, key)
	}
	put(t, c, "a", "z")
	equal(t, get(t, c, "", WithPrefix(), WithSort(SortByModRevision, SortDescend), WithLimit(2)), []string{"a=z", "b=b"})
	equal(t, get(t, c, "", WithLastCreate()...), []string{"b=b"})
	equal(t, get(t, c, "b", WithFromKey(), WithKeysOnly()), []string{"b=", "c="})
	equal(t, get(t, c, "", WithPrefix(), WithMinModRev(3), WithMaxModRev(4)), []string{"b=b", "c=c"})
	counted, err := c.Get(background, "", WithPrefix(), WithCountOnly())
	if err != nil || counted.Count != 3 || counted.Kvs != nil {
		t.Errorf("%+v, %v", counted, err)
	}
	if _, err := c.Get(background, "", WithSort(99, SortAscend)); err != rpctypes.ErrInvalidSortOption {
		t.Errorf("%v", err)
	}
}

// What does not fit in a buffer comes in memory of the library, and a request larger than a batch goes alone.
func TestHugeValues(t *testing.T) {
	c := disk(t)
	pattern := func(n int) string { return strings.Repeat("0123456789abcdef", n/16+1)[:n] }
	sizes := []int{0, 1, 4000, 4096, 5000, 1 << 16, 1<<20 - 100, 1 << 20, 3 << 20, 8 << 20}
	for _, size := range sizes {
		put(t, c, fmt.Sprintf("%08d", size), pattern(size))
	}
	for _, size := range sizes {
		got, err := c.Get(background, fmt.Sprintf("%08d", size))
		if err != nil || string(got.Kvs[0].Value) != pattern(size) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	all, err := c.Delete(background, "", WithPrefix(), WithPrevKV())
	if err != nil || len(all.PrevKvs) != len(sizes) {
		t.Fatal(err)
	}
	for i, kv := range all.PrevKvs {
		if string(kv.Value) != pattern(sizes[i]) {
			t.Errorf("%d bytes came back as %d", sizes[i], len(kv.Value))
		}
	}
	if _, err := c.Put(background, "k", pattern(33<<20)); err != rpctypes.ErrRequestTooLarge {
		t.Errorf("%v", err)
	}
}

// Many writers at a time share batches: each must get its own reply, and one that fails must not harm the others.
func TestEveryWriterGetsItsOwnReply(t *testing.T) {
	c := disk(t)
	const writers, rounds = 100, 20
	revisions := make([][]int64, writers)
	var running sync.WaitGroup
	for w := range writers {
		running.Add(1)
		go func() {
			defer running.Done()
			key := fmt.Sprintf("k%03d", w)
			for i := range rounds {
				value := bytes.Repeat([]byte{byte('a' + w%26)}, 1+w*7)
				resp, err := c.Put(background, key, string(value), WithPrevKV())
				if err != nil {
					t.Error(err)
					return
				}
				if (i == 0) != (resp.PrevKv == nil) || i > 0 && (string(resp.PrevKv.Key) != key || !bytes.Equal(resp.PrevKv.Value, value)) {
					t.Errorf("%s has %v before", key, resp.PrevKv)
				}
				revisions[w] = append(revisions[w], resp.Header.Revision)
				if _, err := c.Put(background, "", "v"); err != rpctypes.ErrEmptyKey {
					t.Errorf("%v", err)
				}
			}
		}()
	}
	running.Wait()
	seen := map[int64]bool{}
	for w := range writers {
		for i, revision := range revisions[w] {
			if seen[revision] || i > 0 && revision <= revisions[w][i-1] {
				t.Errorf("revision %d", revision)
			}
			seen[revision] = true
		}
		got, err := c.Get(background, fmt.Sprintf("k%03d", w))
		if err != nil || got.Kvs[0].Version != rounds || got.Kvs[0].ModRevision != revisions[w][rounds-1] || got.Header.Revision != 1+writers*rounds {
			t.Errorf("%v, %v", got, err)
		}
	}
}

// etcd-io/etcd#4697, #6660: watching the empty prefix matched nothing although range and delete took it as everything.
func TestB003TheEmptyPrefixIsEverything(t *testing.T) {
	c := memory(t)
	watch := c.Watch(background, "", WithPrefix())
	keys := []string{"\x00", "a", "\xff", "\xff\xff"}
	var want, kvs []string
	for i, key := range keys {
		put(t, c, key, "v")
		want = append(want, fmt.Sprintf("PUT %s=v @%d", key, i+2))
		kvs = append(kvs, key+"=v")
	}
	equal(t, events(t, watch, len(keys)), want)
	equal(t, get(t, c, "", WithPrefix()), kvs)
	if deleted, err := c.Delete(background, "", WithPrefix()); err != nil || deleted.Deleted != 4 {
		t.Errorf("%+v, %v", deleted, err)
	}
	equal(t, events(t, watch, 4), []string{"DELETE \x00 @6", "DELETE a @6", "DELETE \xff @6", "DELETE \xff\xff @6"})
}

// etcd-io/etcd#6146: a txn that deleted nothing reported a revision that did not exist.
func TestB029WhatChangesNothingHasNoRevision(t *testing.T) {
	c := memory(t)
	put(t, c, "k", "v")
	if revision := del(t, c, "none"); revision != 2 {
		t.Errorf("revision %d", revision)
	}
	resp, err := c.Txn(background).Then(OpDelete("none"), OpDelete("n", WithPrefix())).Commit()
	if err != nil || resp.Header.Revision != 2 {
		t.Errorf("%+v, %v", resp, err)
	}
	if revision := put(t, c, "k", "v"); revision != 3 {
		t.Errorf("revision %d", revision)
	}
}

// patroni/patroni#2693, etcd-io/etcd#19678: renewing a leader key with compare and create in one step: which branch ran could not be
// told, and the new lease was not attached.
func TestB033NestedAnswersTellWhichBranchRan(t *testing.T) {
	c := memory(t)
	var leases [2]LeaseID
	for i := range leases {
		granted, err := c.Grant(background, 60)
		if err != nil {
			t.Fatal(err)
		}
		leases[i] = granted.ID
	}
	take := func(who string, lease LeaseID) *TxnResponse {
		hold := OpPut("leader", who, WithLease(lease))
		create := OpTxn([]Cmp{Compare(CreateRevision("leader"), "=", 0)}, []Op{hold}, nil)
		resp, err := c.Txn(background).If(Compare(Value("leader"), "=", who)).Then(hold).Else(create).Commit()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if created := take("me", leases[0]); created.Succeeded || !created.Responses[0].GetResponseTxn().Succeeded || created.Header.Revision != 2 {
		t.Errorf("%+v", created)
	}
	if renewed := take("me", leases[1]); !renewed.Succeeded || renewed.Responses[0].GetResponsePut() == nil || renewed.Header.Revision != 3 {
		t.Errorf("%+v", renewed)
	}
	if refused := take("other", leases[0]); refused.Succeeded || refused.Responses[0].GetResponseTxn().Succeeded || refused.Header.Revision != 3 {
		t.Errorf("%+v", refused)
	}
	got, err := c.Get(background, "leader")
	if err != nil || LeaseID(got.Kvs[0].Lease) != leases[1] || got.Kvs[0].Version != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	for i, count := range []int{1, 0} {
		if _, err := c.Revoke(background, leases[i]); err != nil {
			t.Fatal(err)
		}
		if kvs := get(t, c, "leader"); len(kvs) != count {
			t.Errorf("%v", kvs)
		}
	}
}

// etcd-io/etcd#13056, k3s-io/kine#271: the count became limit + 1 or stopped at the limit, and paging clients broke.
func TestB041TheCountIsWhateverTheLimit(t *testing.T) {
	c := memory(t)
	for i := range 5 {
		put(t, c, fmt.Sprint("k", i), "v")
	}
	for limit := range 7 {
		resp, err := c.Get(background, "k", WithPrefix(), WithLimit(int64(limit)))
		there := 5
		if limit > 0 {
			there = min(limit, 5)
		}
		if err != nil || resp.Count != 5 || len(resp.Kvs) != there || resp.More != (there < 5) {
			t.Errorf("limit %d: %+v, %v", limit, resp, err)
		}
	}
}

// microsoft/etcd3#138: paging by key repeated or lost keys while others wrote.
func TestB042PagesAtOneRevisionAreOneList(t *testing.T) {
	c := memory(t)
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		put(t, c, key, "1")
	}
	page := func(from string, revision int64) (*GetResponse, error) {
		return c.Get(background, from, WithFromKey(), WithLimit(2), WithRev(revision))
	}
	first, err := page("\x00", 0)
	if err != nil || !first.More || first.Count != 5 {
		t.Fatalf("%+v, %v", first, err)
	}
	equal(t, shown(first.Kvs), []string{"a=1", "b=1"})
	at := first.Header.Revision
	del(t, c, "c")
	put(t, c, "b\x00", "new")
	put(t, c, "aa", "new")
	put(t, c, "e", "2")
	second, err := page("b\x00", at)
	if err != nil || !second.More || second.Count != 3 {
		t.Errorf("%+v, %v", second, err)
	}
	equal(t, shown(second.Kvs), []string{"c=1", "d=1"})
	third, err := page("d\x00", at)
	if err != nil || third.More {
		t.Errorf("%+v, %v", third, err)
	}
	equal(t, shown(third.Kvs), []string{"e=1"})
	if _, err := c.Compact(background, at+1); err != nil {
		t.Fatal(err)
	}
	if _, err := page("d\x00", at); err != rpctypes.ErrCompacted {
		t.Errorf("%v", err)
	}
}

// nats-io/nats.java#700: a read at a deleted key's revision returned the tombstone as an entry.
func TestB049AKeyIsNotThereAtItsDeletion(t *testing.T) {
	c := memory(t)
	created := put(t, c, "k", "v")
	deleted := del(t, c, "k")
	again := put(t, c, "k", "v2")
	equal(t, get(t, c, "k", WithRev(created)), []string{"k=v"})
	equal(t, get(t, c, "k", WithRev(deleted)), nil)
	equal(t, get(t, c, "k", WithRev(again)), []string{"k=v2"})
}

// etcd-io/etcd#14490: the revisions inside a txn's answers differed from the outer one and were taken for the new one.
func TestB082RevisionsWithinATxn(t *testing.T) {
	c := memory(t)
	old := put(t, c, "k", "v")
	resp, err := c.Txn(background).Then(OpDelete("none"), OpPut("k", "v2"), OpDelete("none")).Commit()
	if err != nil {
		t.Fatal(err)
	}
	inner := []int64{resp.Responses[0].GetResponseDeleteRange().Header.Revision, resp.Responses[1].GetResponsePut().Header.Revision,
		resp.Responses[2].GetResponseDeleteRange().Header.Revision}
	equal(t, inner, []int64{old, old + 1, old + 1})
	if resp.Header.Revision != old+1 {
		t.Errorf("revision %d", resp.Header.Revision)
	}
}

func TestALeaseAndItsKeys(t *testing.T) {
	c := memory(t)
	granted, err := c.Grant(background, 60)
	if err != nil || granted.TTL != 60 || granted.ID <= 0 {
		t.Fatalf("%+v, %v", granted, err)
	}
	put(t, c, "a", "v", WithLease(granted.ID))
	put(t, c, "b", "v", WithLease(granted.ID))
	told, err := c.TimeToLive(background, granted.ID, WithAttachedKeys())
	if err != nil || told.GrantedTTL != 60 || told.TTL < 50 || told.TTL > 60 {
		t.Errorf("%+v, %v", told, err)
	}
	equal(t, told.Keys, [][]byte{[]byte("a"), []byte("b")})
	listed, err := c.Leases(background)
	if err != nil {
		t.Error(err)
	}
	equal(t, listed.Leases, []LeaseStatus{{granted.ID}})
	if renewed, err := c.KeepAliveOnce(background, granted.ID); err != nil || renewed.TTL != 60 {
		t.Errorf("%+v, %v", renewed, err)
	}
	if revoked, err := c.Revoke(background, granted.ID); err != nil || revoked.Header.Revision != 4 {
		t.Errorf("%+v, %v", revoked, err)
	}
	equal(t, get(t, c, "", WithPrefix()), nil)
	if gone, err := c.TimeToLive(background, granted.ID); err != nil || gone.TTL != -1 {
		t.Errorf("%+v, %v", gone, err)
	}
	if _, err := c.KeepAliveOnce(background, granted.ID); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("%v", err)
	}
	if _, err := c.Put(background, "c", "v", WithLease(granted.ID)); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("%v", err)
	}
	if _, err := c.Grant(background, 9_000_000_001); err != rpctypes.ErrLeaseTTLTooLarge {
		t.Errorf("%v", err)
	}
}

func TestContextsOfWrites(t *testing.T) {
	c := disk(t)
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	var running sync.WaitGroup
	var done, given sync.Map
	for w := range 64 {
		running.Add(1)
		go func() {
			defer running.Done()
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d/%d", w, i)
				_, err := c.Put(ctx, key, "v")
				if err != nil {
					given.Store(key, err)
					return
				}
				done.Store(key, true)
				if w == 0 && i == 20 {
					cancel()
				}
			}
		}()
	}
	running.Wait()
	given.Range(func(key, err any) bool {
		if err != context.Canceled {
			t.Errorf("%v: %v", key, err)
		}
		return true
	})
	kvs, err := c.Get(background, "", WithPrefix(), WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, kv := range kvs.Kvs {
		there[string(kv.Key)] = true
	}
	done.Range(func(key, _ any) bool {
		if !there[key.(string)] {
			t.Errorf("%v was acknowledged and is not there", key)
		}
		delete(there, key.(string))
		return true
	})
	// Those that were given up may be there or not; nothing else may.
	for key := range there {
		if _, ok := given.Load(key); !ok {
			t.Errorf("%s came of nobody", key)
		}
	}
}
