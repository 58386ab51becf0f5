package concurrency_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/concurrency"
)

// held is a lock that is held by a session of its own.
func held(t *testing.T, cli *etclite.Client, name string) *concurrency.Mutex {
	t.Helper()
	m := concurrency.NewMutex(session(t, cli), name)
	must(t, m.Lock(patient(t)))
	return m
}

func TestCO02_TheKeyIsEtcds(t *testing.T) {
	cli := open(t)
	s := session(t, cli)
	m := concurrency.NewMutex(s, "/my-lock/")
	if m.Key() != "" || m.Header() != nil {
		t.Errorf("before: %q, %v", m.Key(), m.Header())
	}
	must(t, m.Lock(patient(t)))
	if want := fmt.Sprintf("/my-lock//%x", int64(s.Lease())); m.Key() != want {
		t.Errorf("%q instead of %q", m.Key(), want)
	}
	resp, err := cli.Get(patient(t), m.Key())
	must(t, err)
	kv := resp.Kvs[0]
	if len(kv.Value) != 0 || etclite.LeaseID(kv.Lease) != s.Lease() || kv.CreateRevision != m.Header().Revision {
		t.Errorf("%+v, header %+v", kv, m.Header())
	}
	if !isOwner(t, cli, m) {
		t.Error("the owner is not told to be it")
	}
	must(t, m.Unlock(patient(t)))
	if m.Key() != "\x00" || isOwner(t, cli, m) || count(t, cli, "/my-lock/") != 0 {
		t.Errorf("after: %q", m.Key())
	}
}

func TestCO02_WhoCameFirstHasItFirst(t *testing.T) {
	cli := open(t)
	first := held(t, cli, "lock")
	var mu sync.Mutex
	var order []int
	var done []<-chan error
	for i := range 5 {
		m := concurrency.NewMutex(session(t, cli), "lock")
		done = append(done, result(func() error {
			if err := m.Lock(patient(t)); err != nil {
				return err
			}
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			if !isOwner(t, cli, m) {
				return errors.New("not the owner")
			}
			return m.Unlock(patient(t))
		}))
		awaitCount(t, cli, "lock/", int64(i)+2)
	}
	must(t, first.Unlock(patient(t)))
	for _, d := range done {
		must(t, within(t, d))
	}
	if !slices.Equal(order, []int{0, 1, 2, 3, 4}) || count(t, cli, "lock/") != 0 {
		t.Errorf("%v", order)
	}
}

// kragniz/python-etcd3#1107, v6d-io/v6d#272: a waiter missed the delete between its read and its watch and waited to its time-out;
// chains of waiters stalled. Here each holder leaves exactly then, and all have their turn, in order.
func TestB025_AHolderWhoLeavesBetweenReadAndWatchIsNotMissed(t *testing.T) {
	cli := open(t)
	before := held(t, cli, "lock")
	hooked := &hookedKV{KV: cli.KV}
	cli.KV = hooked
	var order []int64
	for range 10 {
		// The first commit stands in line, the second looks who is before it.
		commits := 0
		hooked.after = func() error {
			if commits++; commits != 2 {
				return nil
			}
			return before.Unlock(patient(t))
		}
		m := concurrency.NewMutex(session(t, cli), "lock")
		start := time.Now()
		must(t, within(t, result(func() error { return m.Lock(patient(t)) })))
		if took := time.Since(start); took > time.Second {
			t.Errorf("it had its turn after %v", took)
		}
		hooked.after = nil
		if commits < 3 || !isOwner(t, cli, m) {
			t.Errorf("%d commits", commits)
		}
		order = append(order, m.Header().Revision)
		before = m
	}
	if !slices.IsSorted(order) {
		t.Errorf("%v", order)
	}
}

// And a chain that stands in line: each has it alone, and the next as soon as it leaves.
func TestB025_AChainOfWaiters(t *testing.T) {
	cli := open(t)
	holder := held(t, cli, "lock")
	const waiters = 20
	turns := make(chan *concurrency.Mutex)
	line := make([]*concurrency.Mutex, waiters)
	for i := range line {
		m := concurrency.NewMutex(session(t, cli), "lock")
		line[i] = m
		go func() {
			if err := m.Lock(patient(t)); err != nil {
				t.Error(err)
			}
			turns <- m
		}()
		awaitCount(t, cli, "lock/", int64(i)+2)
	}
	for i, want := range line {
		if !isOwner(t, cli, holder) {
			t.Fatalf("turn %d: the one before has lost it", i)
		}
		must(t, holder.Unlock(patient(t)))
		must(t, within(t, result(func() error {
			if got := <-turns; got != want {
				return fmt.Errorf("turn %d: it is another's", i)
			}
			return nil
		})))
		holder = want
	}
	must(t, holder.Unlock(patient(t)))
}

// etcd-io/etcd#19597, etcd-io/etcd#22387: a waiter whose session ended kept waiting until the holder left, hours later.
func TestB018_AWaiterWhoseSessionEndsLearnsItAtOnce(t *testing.T) {
	cli := open(t)
	holder := held(t, cli, "lock")
	dying := session(t, cli)
	waiting := result(func() error { return concurrency.NewMutex(dying, "lock").Lock(patient(t)) })
	awaitCount(t, cli, "lock/", 2)
	next := concurrency.NewMutex(session(t, cli), "lock")
	after := result(func() error { return next.Lock(patient(t)) })
	awaitCount(t, cli, "lock/", 3)

	_, err := cli.Revoke(patient(t), dying.Lease())
	must(t, err)
	// The holder still holds.
	if err := within(t, waiting); err != concurrency.ErrSessionExpired {
		t.Errorf("%v", err)
	}
	if !isOwner(t, cli, holder) || count(t, cli, "lock/") != 2 {
		t.Error("the end of a waiter has touched others")
	}
	must(t, holder.Unlock(patient(t)))
	must(t, within(t, after))
	if !isOwner(t, cli, next) {
		t.Error("the next in line has not got it")
	}
}

func TestCO03_ALockOfASessionThatIsOver(t *testing.T) {
	cli := open(t)
	s := session(t, cli)
	must(t, s.Close())
	m := concurrency.NewMutex(s, "lock")
	if err := m.Lock(patient(t)); err != concurrency.ErrSessionExpired {
		t.Errorf("%v", err)
	}
	if err := m.TryLock(patient(t)); err != concurrency.ErrSessionExpired {
		t.Errorf("%v", err)
	}
	if count(t, cli, "lock/") != 0 {
		t.Error("it has left a key")
	}
}

// B-016: a lock attempt that was cancelled left its key, and everybody waited for the TTL; or it returned success.
func TestB016_ACancelledLockLeavesNoKey(t *testing.T) {
	cli := open(t)
	holder := held(t, cli, "lock")
	ctx, cancel := context.WithCancel(context.Background())
	s := session(t, cli)
	m := concurrency.NewMutex(s, "lock")
	waiting := result(func() error {
		err := m.Lock(ctx)
		if n := count(t, cli, "lock/"); n != 2 {
			return fmt.Errorf("%w, and %d keys are left", err, n)
		}
		return err
	})
	awaitCount(t, cli, "lock/", 2)
	next := concurrency.NewMutex(session(t, cli), "lock")
	after := result(func() error { return next.Lock(patient(t)) })
	awaitCount(t, cli, "lock/", 3)

	cancel()
	if err := within(t, waiting); err != context.Canceled {
		t.Errorf("%v", err)
	}
	if err := m.Unlock(patient(t)); err != concurrency.ErrLockReleased {
		t.Errorf("what was not acquired is unlocked: %v", err)
	}
	must(t, holder.Unlock(patient(t)))
	must(t, within(t, after))
	must(t, next.Unlock(patient(t)))
	// The session that gave up can try again.
	must(t, m.Lock(patient(t)))
}

func TestB016_AContextThatEndsDuringTheCommit(t *testing.T) {
	for name, take := range map[string]func(*concurrency.Mutex, context.Context) error{
		"Lock": (*concurrency.Mutex).Lock, "TryLock": (*concurrency.Mutex).TryLock,
	} {
		cli := open(t)
		ctx, cancel := context.WithCancel(context.Background())
		cli.KV = &hookedKV{KV: cli.KV, after: func() error { cancel(); return nil }}
		m := concurrency.NewMutex(session(t, cli), "lock")
		if err := take(m, ctx); err != context.Canceled {
			t.Errorf("%s: %v", name, err)
		}
		if count(t, cli, "lock/") != 0 || m.Key() != "" {
			t.Errorf("%s has left a key", name)
		}
	}
}

func TestB016_AContextThatHasEndedWritesNothing(t *testing.T) {
	cli := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m := concurrency.NewMutex(session(t, cli), "lock")
	before := revision(t, cli)
	for _, err := range []error{m.Lock(ctx), m.TryLock(ctx)} {
		if err != context.Canceled {
			t.Errorf("%v", err)
		}
	}
	if now := revision(t, cli); now != before {
		t.Errorf("revision %d after %d", now, before)
	}
}

// B-062: unlock was called with the request's cancelled context, and the lock stayed for its whole TTL.
func TestB062_UnlockWithAContextThatHasEnded(t *testing.T) {
	cli := open(t)
	m := held(t, cli, "lock")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.Unlock(ctx); err != context.Canceled || !isOwner(t, cli, m) {
		t.Errorf("%v", err)
	}
	must(t, m.Unlock(patient(t)))
	if count(t, cli, "lock/") != 0 {
		t.Error("the second Unlock frees nothing")
	}
	if err := m.Unlock(patient(t)); err != concurrency.ErrLockReleased {
		t.Errorf("%v", err)
	}
	must(t, held(t, cli, "lock").Unlock(patient(t)))
}

func TestB062_AnUnlockThatFailsCanBeRepeated(t *testing.T) {
	cli := open(t)
	m := held(t, cli, "lock")
	failure := errors.New("the disk is full")
	hooked := &hookedKV{KV: cli.KV, before: func() error { return failure }}
	cli.KV = hooked
	if err := m.Unlock(patient(t)); err != failure {
		t.Errorf("%v", err)
	}
	hooked.before = nil
	must(t, m.Unlock(patient(t)))
	if count(t, cli, "lock/") != 0 {
		t.Error("the second Unlock frees nothing")
	}
}

func TestCO03_WhatCannotBeRemovedIsTold(t *testing.T) {
	cli := open(t)
	failure := errors.New("the disk is full")
	ctx, cancel := context.WithCancel(context.Background())
	m := concurrency.NewMutex(session(t, cli), "lock")
	hooked := &hookedKV{KV: cli.KV, after: func() error { cancel(); return nil }}
	hooked.before = func() error {
		if ctx.Err() != nil {
			return failure
		}
		return nil
	}
	cli.KV = hooked
	if err := m.Lock(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
}

func TestCO04_TryLock(t *testing.T) {
	cli := open(t)
	holder := held(t, cli, "lock")
	m := concurrency.NewMutex(session(t, cli), "lock")
	before := revision(t, cli)
	if err := m.TryLock(patient(t)); err != concurrency.ErrLocked || m.Key() != "" {
		t.Errorf("%v, key %q", err, m.Key())
	}
	if now := revision(t, cli); now != before {
		t.Errorf("who does not wait has written: revision %d after %d", now, before)
	}
	must(t, holder.TryLock(patient(t)))
	must(t, holder.Unlock(patient(t)))
	must(t, m.TryLock(patient(t)))
	if !isOwner(t, cli, m) || m.Header().Revision != revision(t, cli) {
		t.Errorf("header %+v", m.Header())
	}
	must(t, m.Unlock(patient(t)))
}

func TestCO04_TryLockOfASessionThatWaits(t *testing.T) {
	cli := open(t)
	holder := held(t, cli, "lock")
	s := session(t, cli)
	waiting := result(func() error { return concurrency.NewMutex(s, "lock").Lock(patient(t)) })
	awaitCount(t, cli, "lock/", 2)
	if err := concurrency.NewMutex(s, "lock").TryLock(patient(t)); err != concurrency.ErrLocked || count(t, cli, "lock/") != 2 {
		t.Errorf("%v", err)
	}
	must(t, holder.Unlock(patient(t)))
	must(t, within(t, waiting))
}

// keboola/keboola-as-code#1593, singnet/snet-daemon#124: two who shared a session both got the lock, and expected either exclusion or
// a count. It is one lock: the first Unlock frees it, and the other has lost it.
func TestB015_TwoWhoShareASessionShareOneLock(t *testing.T) {
	cli := open(t)
	s := session(t, cli)
	one, two := concurrency.NewMutex(s, "lock"), concurrency.NewMutex(s, "lock")
	first, second := result(func() error { return one.Lock(patient(t)) }), result(func() error { return two.Lock(patient(t)) })
	must(t, within(t, first))
	must(t, within(t, second))
	if one.Key() != two.Key() || !isOwner(t, cli, one) || !isOwner(t, cli, two) || count(t, cli, "lock/") != 1 {
		t.Errorf("%q, %q, %d keys", one.Key(), two.Key(), count(t, cli, "lock/"))
	}
	must(t, one.Unlock(patient(t)))
	if isOwner(t, cli, two) {
		t.Error("the second has a lock that was given back")
	}
	// Nothing is left of it: others get it at once, and the late Unlock does not take it from them.
	other := concurrency.NewMutex(session(t, cli), "lock")
	must(t, other.TryLock(patient(t)))
	if err := two.Unlock(patient(t)); err != concurrency.ErrSessionExpired || !isOwner(t, cli, other) {
		t.Errorf("%v", err)
	}
}

func TestCO05_TheSameSessionTwice(t *testing.T) {
	cli := open(t)
	s := session(t, cli)
	one, two := concurrency.NewMutex(s, "lock"), concurrency.NewMutex(s, "lock")
	must(t, one.Lock(patient(t)))
	must(t, two.Lock(patient(t)))
	if one.Key() != two.Key() || !isOwner(t, cli, two) {
		t.Errorf("%q, %q", one.Key(), two.Key())
	}
	// A second one that gives up does not take it away from the first.
	ctx, cancel := context.WithCancel(context.Background())
	plain := cli.KV
	cli.KV = &hookedKV{KV: plain, after: func() error { cancel(); return nil }}
	if err := concurrency.NewMutex(s, "lock").Lock(ctx); err != context.Canceled {
		t.Errorf("%v", err)
	}
	cli.KV = plain
	if !isOwner(t, cli, one) {
		t.Error("a cancelled second lock has freed the first")
	}
	must(t, one.Unlock(patient(t)))
	if err := two.Unlock(patient(t)); err != concurrency.ErrSessionExpired {
		t.Errorf("%v", err)
	}
}

func TestCO06_AStaleGuardFreesNothing(t *testing.T) {
	cli := open(t)
	s := session(t, cli)
	stale := concurrency.NewMutex(s, "lock")
	must(t, stale.Lock(patient(t)))
	_, err := cli.Delete(patient(t), stale.Key())
	must(t, err)
	fresh := concurrency.NewMutex(s, "lock")
	must(t, fresh.Lock(patient(t)))
	if fresh.Key() != stale.Key() {
		t.Fatalf("%q, %q", fresh.Key(), stale.Key())
	}
	if err := stale.Unlock(patient(t)); err != concurrency.ErrSessionExpired || !isOwner(t, cli, fresh) {
		t.Errorf("%v", err)
	}
	if err := stale.Unlock(patient(t)); err != concurrency.ErrLockReleased {
		t.Errorf("%v", err)
	}
	must(t, fresh.Unlock(patient(t)))
}

func TestCO03_ACompactionDuringTheWait(t *testing.T) {
	cli := open(t)
	holder := held(t, cli, "lock")
	m := concurrency.NewMutex(session(t, cli), "lock")
	waiting := result(func() error { return m.Lock(patient(t)) })
	awaitCount(t, cli, "lock/", 2)
	for range 20 {
		resp, err := cli.Put(patient(t), "other", "")
		must(t, err)
		_, err = cli.Compact(patient(t), resp.Header.Revision)
		must(t, err)
	}
	must(t, holder.Unlock(patient(t)))
	must(t, within(t, waiting))
	if !isOwner(t, cli, m) {
		t.Error("not the owner")
	}
}

func TestCO03_ClosingTheClientEndsAWait(t *testing.T) {
	cli := open(t)
	held(t, cli, "lock")
	m := concurrency.NewMutex(session(t, cli), "lock")
	waiting := result(func() error { return m.Lock(patient(t)) })
	awaitCount(t, cli, "lock/", 2)
	must(t, cli.Close())
	if err := within(t, waiting); !errors.Is(err, etclite.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestCO03_AnOrphanGoesOnWaiting(t *testing.T) {
	cli := open(t)
	holder := held(t, cli, "lock")
	s := session(t, cli)
	m := concurrency.NewMutex(s, "lock")
	waiting := result(func() error { return m.Lock(patient(t)) })
	awaitCount(t, cli, "lock/", 2)
	s.Orphan()
	must(t, holder.Unlock(patient(t)))
	must(t, within(t, waiting))
	if !isOwner(t, cli, m) {
		t.Error("not the owner")
	}
}

func TestCO07_ALockerExcludes(t *testing.T) {
	cli := open(t)
	var all sync.WaitGroup
	inside, total := 0, 0
	for range 8 {
		l := concurrency.NewLocker(session(t, cli), "lock")
		all.Add(1)
		go func() {
			defer all.Done()
			for range 10 {
				l.Lock()
				if inside++; inside != 1 {
					t.Errorf("%d at once", inside)
				}
				total++
				inside--
				l.Unlock()
			}
		}()
	}
	all.Wait()
	if total != 80 || count(t, cli, "lock/") != 0 {
		t.Errorf("%d times", total)
	}
	l := concurrency.NewLocker(session(t, cli), "lock")
	if got := panicOf(l.Unlock); got != concurrency.ErrLockReleased {
		t.Errorf("%v", got)
	}
	must(t, cli.Close())
	if got := panicOf(l.Lock); got == nil {
		t.Error("a lock of a closed store was taken")
	}
}

func panicOf(f func()) (message any) {
	defer func() { message = recover() }()
	f()
	return nil
}

// What was given back is not called failed because the context ended a moment later.
func TestB062_AContextThatEndsDuringTheUnlock(t *testing.T) {
	cli := open(t)
	m := held(t, cli, "lock")
	e := concurrency.NewElection(session(t, cli), "e")
	must(t, e.Campaign(patient(t), "me"))
	plain := cli.KV
	for name, give := range map[string]func(context.Context) error{"Unlock": m.Unlock, "Resign": e.Resign} {
		ctx, cancel := context.WithCancel(context.Background())
		cli.KV = &hookedKV{KV: plain, after: func() error { cancel(); return nil }}
		if err := give(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	cli.KV = plain
	if err := m.Unlock(patient(t)); err != concurrency.ErrLockReleased || e.Key() != "" || count(t, cli, "") != 0 {
		t.Errorf("%v, key %q", err, e.Key())
	}
}
