package etcdv3

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
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
	events := client.Watch(ctx, "a")
	if err := client.Close(); err != context.Canceled {
		t.Errorf("the close: %v", err)
	}
	for range events {
	}
	if _, err := client.Put(ctx, "a", "1"); err == nil {
		t.Error("a put on a closed store")
	}
}
