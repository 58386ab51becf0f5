package etcdv3

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/etclite/etclite/bindings/go/internal/slowsync"
)

// open is a new store in memory, closed at the end of the test.
func open(t *testing.T) *clientv3.Client {
	t.Helper()
	client, err := OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// soon is a context that ends a test which would hang.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestPutGetDelete(t *testing.T) {
	client, ctx := open(t), soon(t)
	put, err := client.Put(ctx, "q1mi", "dsb")
	if err != nil || put.Header.Revision != 2 {
		t.Fatal(put, err)
	}
	got, err := client.Get(ctx, "q1mi")
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "dsb" || got.Count != 1 {
		t.Fatal(got, err)
	}
	gone, err := client.Delete(ctx, "", clientv3.WithPrefix(), clientv3.WithPrevKV())
	if err != nil || gone.Deleted != 1 || string(gone.PrevKvs[0].Value) != "dsb" {
		t.Fatal(gone, err)
	}
}

func TestErrorsAreThoseOfTheClient(t *testing.T) {
	client, ctx := open(t), soon(t)
	_, err := client.Put(ctx, "", "v")
	if err != rpctypes.ErrEmptyKey {
		t.Errorf("an empty key: %v", err)
	}
	if _, err := client.Get(ctx, "a", clientv3.WithRev(9)); err != rpctypes.ErrFutureRev {
		t.Errorf("a revision to come: %v", err)
	}
	if _, err := client.Revoke(ctx, 7); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("no such lease: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := client.Put(ended, "a", "v"); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

func TestWatchSeesWhatFollows(t *testing.T) {
	client, ctx := open(t), soon(t)
	events := client.Watch(ctx, "a", clientv3.WithCreatedNotify())
	if created := <-events; !created.Created {
		t.Fatal(created)
	}
	if _, err := client.Put(ctx, "a", "1"); err != nil {
		t.Fatal(err)
	}
	response := <-events
	if len(response.Events) != 1 || string(response.Events[0].Kv.Value) != "1" || response.Header.Revision != 2 {
		t.Fatal(response)
	}
}

func TestMutexOfEtcd(t *testing.T) {
	client, ctx := open(t), soon(t)
	session, err := concurrency.NewSession(client, concurrency.WithTTL(5))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	mutex := concurrency.NewMutex(session, "/my-lock/")
	if err := mutex.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := mutex.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	client, ctx := open(t), soon(t)
	lease, err := client.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	events := client.Watch(ctx, "a")
	if err := client.Close(); err != context.Canceled {
		t.Errorf("the close: %v", err)
	}
	for range events {
	}
	_, put := client.Put(ctx, "a", "1")
	_, got := client.Get(ctx, "a")
	_, renewed := client.KeepAliveOnce(ctx, lease.ID)
	_, alarms := client.AlarmList(ctx)
	_, defragmented := client.Defragment(ctx, "")
	_, members := client.MemberList(ctx)
	for i, err := range []error{put, got, renewed, alarms, defragmented, members} {
		if err != rpctypes.ErrStopped {
			t.Errorf("call %d on a closed store: %v", i, err)
		}
	}
	if last, open := <-client.Watch(ctx, "a"); open {
		t.Errorf("a watch of a closed client: %v", last)
	}
}

func TestMaintenanceObeysItsContext(t *testing.T) {
	client := open(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, alarms := client.AlarmList(ended)
	_, defragmented := client.Defragment(ended, "")
	_, members := client.MemberList(ended)
	for i, err := range []error{alarms, defragmented, members} {
		if err != context.Canceled {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func TestHeadersOfMaintenance(t *testing.T) {
	client, ctx := open(t), soon(t)
	alarms, err := client.AlarmList(ctx)
	if err != nil || alarms.Header.Revision != 1 || alarms.Header.ClusterId == 0 {
		t.Error(alarms, err)
	}
	defragmented, err := client.Defragment(ctx, "")
	if err != nil || defragmented.Header.Revision != 0 || defragmented.Header.ClusterId == 0 {
		t.Error(defragmented, err)
	}
	members, err := client.MemberList(ctx)
	if err != nil || members.Header.Revision != 0 || members.Header.MemberId != members.Members[0].ID {
		t.Error(members, err)
	}
}

// What only reads is not held up by the commits of others.
func TestATxnOfReadsWaitsForNoCommit(t *testing.T) {
	client, err := Open(t.TempDir() + "/store")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := soon(t)
	release := sync.OnceFunc(slowsync.Release)
	defer release()
	slowsync.Hold()
	written := make(chan error)
	go func() {
		_, err := client.Put(ctx, "a", "1")
		written <- err
	}()
	for slowsync.Held() == 0 {
		runtime.Gosched()
	}
	get := clientv3.OpGet("a")
	nested := clientv3.OpTxn(nil, []clientv3.Op{get}, []clientv3.Op{get})
	if txn, err := client.Txn(ctx).Then(get, nested).Else(nested).Commit(); err != nil || !txn.Succeeded || len(txn.Responses) != 2 {
		t.Error(txn, err)
	}
	select {
	case err := <-written:
		t.Errorf("the write was not held: %v", err)
	default:
	}
	release()
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestTxnsThatOnlyRead(t *testing.T) {
	get := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{}}}
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{}}}
	del := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{}}}
	txn := func(then, or []*pb.RequestOp) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: then, Failure: or}}}
	}
	ops := func(ops ...*pb.RequestOp) []*pb.RequestOp { return ops }
	for _, reads := range [][]*pb.RequestOp{nil, ops(get), ops(get, txn(ops(get), nil), txn(nil, ops(txn(nil, nil))))} {
		if !onlyReads(reads) {
			t.Errorf("%v changes nothing", reads)
		}
	}
	for _, writes := range [][]*pb.RequestOp{
		ops(put), ops(get, del), ops(txn(ops(put), nil)), ops(get, txn(nil, ops(del))), ops(txn(nil, ops(get, txn(nil, ops(put))))), ops(new(pb.RequestOp)),
	} {
		if onlyReads(writes) {
			t.Errorf("%v may change something", writes)
		}
	}
}

// A store that can write no more says so at once: clients that tried again would do so for ever.
func TestADiskThatFails(t *testing.T) {
	client, err := Open(t.TempDir() + "/store")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := soon(t)
	lease, err := client.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	events := client.Watch(ctx, "a", clientv3.WithCreatedNotify())
	<-events
	defer slowsync.Fail(false)
	slowsync.Fail(true)
	if _, err := client.Put(ctx, "a", "1"); err != rpctypes.ErrTimeout {
		t.Errorf("a write that may or may not take effect: %v", err)
	}
	if _, err := client.Put(ctx, "a", "1"); err != rpctypes.ErrStopped {
		t.Errorf("a write after it: %v", err)
	}
	soon, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := client.KeepAliveOnce(soon, lease.ID); err != rpctypes.ErrStopped {
		t.Errorf("a renewal: %v", err)
	}
	if got, err := client.Get(ctx, "a"); err != nil || len(got.Kvs) != 0 {
		t.Errorf("a read of what was durable: %v, %v", got, err)
	}
	// A watch ends, and tells why.
	if last := <-events; !last.Canceled || last.Err() != rpctypes.ErrStopped {
		t.Errorf("a watch: %v", last.Err())
	}
	if _, open := <-events; open {
		t.Error("the watch goes on")
	}
}
