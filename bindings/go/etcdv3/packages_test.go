package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

// etcd's own packages, unchanged, over a store in process. What they do is theirs; that it comes out right is tested.

func session(t *testing.T, client *clientv3.Client) *concurrency.Session {
	t.Helper()
	s, err := concurrency.NewSession(client, concurrency.WithTTL(30))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// together runs a function in several goroutines, and waits for all.
func together(t *testing.T, count int, do func(i int) error) {
	t.Helper()
	var all sync.WaitGroup
	for i := range count {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := do(i); err != nil {
				t.Errorf("goroutine %d: %v", i, err)
			}
		}()
	}
	all.Wait()
}

func TestMutexExcludes(t *testing.T) {
	client, ctx := open(t), soon(t)
	var inside, entered atomic.Int32
	together(t, 8, func(int) error {
		s, err := concurrency.NewSession(client, concurrency.WithTTL(30))
		if err != nil {
			return err
		}
		defer s.Close()
		mutex := concurrency.NewMutex(s, "/counter")
		for range 10 {
			if err := mutex.Lock(ctx); err != nil {
				return err
			}
			if inside.Add(1) != 1 {
				return errors.New("two are inside")
			}
			entered.Add(1)
			inside.Add(-1)
			if err := mutex.Unlock(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if entered.Load() != 80 {
		t.Errorf("%d entered", entered.Load())
	}
}

func TestTryLockFindsItTaken(t *testing.T) {
	client, ctx := open(t), soon(t)
	first, second := concurrency.NewMutex(session(t, client), "/a"), concurrency.NewMutex(session(t, client), "/a")
	if err := first.TryLock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := second.TryLock(ctx); err != concurrency.ErrLocked {
		t.Errorf("a lock that is taken: %v", err)
	}
	if err := first.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := second.TryLock(ctx); err != nil {
		t.Error(err)
	}
}

func TestElectionPassesTheLeadOn(t *testing.T) {
	client, ctx := open(t), soon(t)
	observing, stop := context.WithCancel(ctx)
	defer stop()
	leaders := concurrency.NewElection(session(t, client), "/lead").Observe(observing)
	for i := range 3 {
		election := concurrency.NewElection(session(t, client), "/lead")
		value := fmt.Sprint("candidate ", i)
		if err := election.Campaign(ctx, value); err != nil {
			t.Fatal(err)
		}
		if leader := <-leaders; string(leader.Kvs[0].Value) != value {
			t.Errorf("observed %q", leader.Kvs[0].Value)
		}
		if err := election.Proclaim(ctx, value+" again"); err != nil {
			t.Fatal(err)
		}
		if leader, err := election.Leader(ctx); err != nil || string(leader.Kvs[0].Value) != value+" again" {
			t.Error(leader, err)
		}
		if leader := <-leaders; string(leader.Kvs[0].Value) != value+" again" {
			t.Errorf("observed %q", leader.Kvs[0].Value)
		}
		if err := election.Resign(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSTMLosesNoUpdate(t *testing.T) {
	for _, isolation := range []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable, concurrency.RepeatableReads} {
		client, ctx := open(t), soon(t)
		if _, err := client.Put(ctx, "n", ""); err != nil {
			t.Fatal(err)
		}
		together(t, 8, func(int) error {
			for range 10 {
				_, err := concurrency.NewSTM(client, func(stm concurrency.STM) error {
					stm.Put("n", stm.Get("n")+"x")
					return nil
				}, concurrency.WithIsolation(isolation), concurrency.WithAbortContext(ctx))
				if err != nil {
					return err
				}
			}
			return nil
		})
		got, err := client.Get(ctx, "n")
		if err != nil || len(got.Kvs[0].Value) != 80 {
			t.Errorf("isolation %v: %v %v", isolation, got, err)
		}
	}
}

func TestBarrierLetsAllGo(t *testing.T) {
	client := open(t)
	if err := recipe.NewBarrier(client, "barrier").Hold(); err != nil {
		t.Fatal(err)
	}
	var released atomic.Bool
	started := make(chan struct{}, 4)
	go func() {
		for range 4 {
			<-started
		}
		released.Store(true)
		if err := recipe.NewBarrier(client, "barrier").Release(); err != nil {
			t.Error(err)
		}
	}()
	together(t, 4, func(int) error {
		started <- struct{}{}
		if err := recipe.NewBarrier(client, "barrier").Wait(); err != nil {
			return err
		}
		if !released.Load() {
			return errors.New("let go before the release")
		}
		return nil
	})
}

func TestDoubleBarrierWaitsForEachOther(t *testing.T) {
	client := open(t)
	var entered, left atomic.Int32
	together(t, 4, func(int) error {
		s, err := concurrency.NewSession(client, concurrency.WithTTL(30))
		if err != nil {
			return err
		}
		defer s.Close()
		barrier := recipe.NewDoubleBarrier(s, "double", 4)
		entered.Add(1)
		if err := barrier.Enter(); err != nil {
			return err
		}
		if entered.Load() != 4 {
			return fmt.Errorf("entered with %d", entered.Load())
		}
		left.Add(1)
		if err := barrier.Leave(); err != nil {
			return err
		}
		if left.Load() != 4 {
			return fmt.Errorf("left with %d", left.Load())
		}
		return nil
	})
}

func TestQueuesGiveEachElementOnce(t *testing.T) {
	client := open(t)
	queue, urgent := recipe.NewQueue(client, "queue"), recipe.NewPriorityQueue(client, "urgent")
	for i := range 20 {
		if err := queue.Enqueue(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		if err := urgent.Enqueue(fmt.Sprint(i), uint16(20-i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		if got, err := queue.Dequeue(); err != nil || got != fmt.Sprint(i) {
			t.Errorf("the queue: %q %v instead of %d", got, err, i)
		}
		if got, err := urgent.Dequeue(); err != nil || got != fmt.Sprint(19-i) {
			t.Errorf("the priority queue: %q %v instead of %d", got, err, 19-i)
		}
	}
	// Several at once, of which some wait.
	var sum atomic.Int32
	go together(t, 2, func(i int) error { return errors.Join(queue.Enqueue("1"), queue.Enqueue("1")) })
	together(t, 4, func(int) error {
		got, err := recipe.NewQueue(client, "queue").Dequeue()
		if got == "1" {
			sum.Add(1)
		}
		return err
	})
	if sum.Load() != 4 {
		t.Errorf("%d elements were taken", sum.Load())
	}
}

func TestRWMutexKeepsWritersAlone(t *testing.T) {
	client := open(t)
	var readers, writers atomic.Int32
	together(t, 6, func(i int) error {
		s, err := concurrency.NewSession(client, concurrency.WithTTL(30))
		if err != nil {
			return err
		}
		defer s.Close()
		mutex := recipe.NewRWMutex(s, "rw")
		for range 5 {
			if i%3 != 0 {
				if err := mutex.RLock(); err != nil {
					return err
				}
				readers.Add(1)
				if writers.Load() != 0 {
					return errors.New("a reader beside a writer")
				}
				readers.Add(-1)
				if err := mutex.RUnlock(); err != nil {
					return err
				}
				continue
			}
			if err := mutex.Lock(); err != nil {
				return err
			}
			if writers.Add(1) != 1 || readers.Load() != 0 {
				return errors.New("a writer that is not alone")
			}
			writers.Add(-1)
			if err := mutex.Unlock(); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestNamespaceOrderingAndLeasing(t *testing.T) {
	client, ctx := open(t), soon(t)
	inside := namespace.NewKV(client.KV, "app/")
	if _, err := inside.Put(ctx, "a", "1"); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(ctx, "app/a"); err != nil || len(got.Kvs) != 1 {
		t.Error(got, err)
	}
	ordered := ordering.NewKV(client.KV, func(clientv3.Op, clientv3.OpResponse, int64) error {
		return errors.New("an answer that is older than one before")
	})
	if got, err := ordered.Get(ctx, "app/a"); err != nil || string(got.Kvs[0].Value) != "1" {
		t.Error(got, err)
	}
	cached, stop, err := leasing.NewKV(client, "leasing/")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for i := range 3 {
		value := fmt.Sprint(i)
		if _, err := cached.Put(ctx, "b", value); err != nil {
			t.Fatal(err)
		}
		if got, err := cached.Get(ctx, "b"); err != nil || string(got.Kvs[0].Value) != value {
			t.Error(got, err)
		}
	}
}

func TestKeepAliveAndExpiry(t *testing.T) {
	client, ctx := open(t), soon(t)
	// Long enough that a busy machine does not miss a renewal.
	lease, err := client.Grant(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	events := client.Watch(ctx, "kept")
	if _, err := client.Put(ctx, "kept", "", clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	renewing, stop := context.WithCancel(ctx)
	renewals, err := client.KeepAlive(renewing, lease.ID)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if renewal := <-renewals; renewal == nil || renewal.TTL != 3 {
			t.Fatal(renewal)
		}
	}
	stop()
	var types []string
	for len(types) < 2 {
		for _, event := range (<-events).Events {
			types = append(types, event.Type.String())
		}
	}
	if types[0] != "PUT" || types[1] != "DELETE" {
		t.Error(types)
	}
	if _, err := client.KeepAliveOnce(ctx, lease.ID); err == nil {
		t.Error("a lease that is over was renewed")
	}
}

func TestWatchFromACompactedRevision(t *testing.T) {
	client, ctx := open(t), soon(t)
	for i := range 5 {
		if _, err := client.Put(ctx, "a", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Compact(ctx, 5); err != nil {
		t.Fatal(err)
	}
	response := <-client.Watch(ctx, "a", clientv3.WithRev(2))
	if !response.Canceled || response.CompactRevision != 5 {
		t.Error(response)
	}
}

func TestManyWatchesOnOneStream(t *testing.T) {
	client, ctx := open(t), soon(t)
	together(t, 20, func(i int) error {
		key := fmt.Sprint("key ", i)
		watching, stop := context.WithCancel(ctx)
		defer stop()
		events := client.Watch(watching, key)
		for n := range 5 {
			if _, err := client.Put(ctx, key, fmt.Sprint(n)); err != nil {
				return err
			}
			response := <-events
			if len(response.Events) != 1 || string(response.Events[0].Kv.Value) != fmt.Sprint(n) {
				return fmt.Errorf("%s: %v", key, response)
			}
		}
		stop()
		for range events {
		}
		return nil
	})
	if err := client.RequestProgress(ctx); err != nil {
		t.Error(err)
	}
}

func TestStatusAndMembers(t *testing.T) {
	client, ctx := open(t), soon(t)
	status, err := client.Status(ctx, "ignored")
	if err != nil || status.Leader == 0 || status.Leader != status.Header.MemberId {
		t.Error(status, err)
	}
	members, err := client.MemberList(ctx)
	if err != nil || len(members.Members) != 1 {
		t.Error(members, err)
	}
	if _, err := client.AuthEnable(ctx); err == nil {
		t.Error("authentication was enabled")
	}
	if _, err := client.MemberAdd(ctx, []string{"http://127.0.0.1:2380"}); err == nil {
		t.Error("a member was added")
	}
}
