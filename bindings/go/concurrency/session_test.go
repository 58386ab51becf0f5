package concurrency_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/concurrency"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

func grantedTTL(t *testing.T, cli *etclite.Client, id etclite.LeaseID) int64 {
	t.Helper()
	resp, err := cli.TimeToLive(patient(t), id)
	must(t, err)
	if resp.TTL < 0 {
		return -1
	}
	return resp.GrantedTTL
}

func TestCO01_TheLeaseOfASession(t *testing.T) {
	cli := open(t)
	for _, row := range []struct {
		opts []concurrency.SessionOption
		ttl  int64
	}{
		{nil, 60},
		{[]concurrency.SessionOption{concurrency.WithTTL(7)}, 7},
		{[]concurrency.SessionOption{concurrency.WithTTL(0), concurrency.WithTTL(-1)}, 60},
	} {
		s := session(t, cli, row.opts...)
		if got := grantedTTL(t, cli, s.Lease()); got != row.ttl || s.Client() != cli {
			t.Errorf("%d seconds instead of %d", got, row.ttl)
		}
	}
	granted, err := cli.Grant(patient(t), 33)
	must(t, err)
	s := session(t, cli, concurrency.WithLease(granted.ID))
	if s.Lease() != granted.ID || grantedTTL(t, cli, s.Lease()) != 33 {
		t.Errorf("lease %d instead of %d", s.Lease(), granted.ID)
	}
}

func TestCO01_CloseRevokesAndOrphanDoesNot(t *testing.T) {
	cli := open(t)
	closed, orphaned := session(t, cli), session(t, cli)
	must(t, closed.Close())
	<-closed.Done()
	if closed.Ctx().Err() == nil || grantedTTL(t, cli, closed.Lease()) != -1 {
		t.Error("the lease outlives the session")
	}
	if err := closed.Close(); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("closed again: %v", err)
	}
	orphaned.Orphan()
	<-orphaned.Done()
	if orphaned.Ctx().Err() == nil || grantedTTL(t, cli, orphaned.Lease()) != 60 {
		t.Error("the lease of an orphan is revoked")
	}
	must(t, orphaned.Close())
}

func TestCO01_LossCanBeAwaited(t *testing.T) {
	cli := open(t)
	// Renewed each second, so that it is known soon, however it was revoked.
	s := session(t, cli, concurrency.WithTTL(3))
	_, err := cli.Revoke(patient(t), s.Lease())
	must(t, err)
	within(t, result(func() error { <-s.Done(); return nil }))
	if s.Ctx().Err() == nil {
		t.Error("the context of a session outlives it")
	}
	gone := session(t, cli, concurrency.WithLease(s.Lease()))
	within(t, result(func() error { <-gone.Done(); return nil }))
}

func TestCO01_ClosingTheClientEndsItsSessions(t *testing.T) {
	cli := open(t)
	s := session(t, cli)
	must(t, cli.Close())
	within(t, result(func() error { <-s.Done(); return nil }))
	if err := s.Close(); !errors.Is(err, etclite.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// B-062: whoever closes a session because his request was cancelled means it.
func TestB062_CloseDoesNotUseTheCallersContext(t *testing.T) {
	cli := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	s := session(t, cli, concurrency.WithContext(ctx))
	cancel()
	within(t, result(func() error { <-s.Done(); return nil }))
	if grantedTTL(t, cli, s.Lease()) != 60 {
		t.Error("the end of the context revokes the lease")
	}
	must(t, s.Close())
	if grantedTTL(t, cli, s.Lease()) != -1 {
		t.Error("the lease outlives the session")
	}
}

// B-078: a lock stayed alive because a forgotten task kept renewing its lease.
func TestB078_TheEndOfTheContextEndsTheRenewals(t *testing.T) {
	cli := open(t)
	var cancel context.CancelFunc
	var m *concurrency.Mutex
	// A machine that is busy with other things may need more than a second until there is a lock to be kept.
	for ttl := 1; ; ttl *= 4 {
		var ctx context.Context
		ctx, cancel = context.WithCancel(context.Background())
		defer cancel()
		m = concurrency.NewMutex(session(t, cli, concurrency.WithContext(ctx), concurrency.WithTTL(ttl)), "lock")
		err := m.Lock(patient(t))
		if err == nil {
			break
		}
		if ttl > 4 || err != concurrency.ErrSessionExpired {
			t.Fatal(err)
		}
	}
	cancel()
	awaitCount(t, cli, "lock/", 0)
	if err := m.Unlock(patient(t)); err != concurrency.ErrSessionExpired {
		t.Errorf("%v", err)
	}
}

// A haltedLease renews nothing.
type haltedLease struct{ etclite.Lease }

func (haltedLease) KeepAlive(context.Context, etclite.LeaseID) (<-chan *etclite.LeaseKeepAliveResponse, error) {
	return nil, etclite.ErrKeepAliveHalted{Reason: etclite.ErrClosed}
}

func TestCO01_ASessionThatCannotBeRenewedLeavesNoLease(t *testing.T) {
	cli := open(t)
	cli.Lease = haltedLease{cli.Lease}
	if s, err := concurrency.NewSession(cli); s != nil || !errors.As(err, &etclite.ErrKeepAliveHalted{}) {
		t.Errorf("%v", err)
	}
	leases, err := cli.Leases(patient(t))
	must(t, err)
	if len(leases.Leases) != 0 {
		t.Errorf("%v", leases.Leases)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := concurrency.NewSession(cli, concurrency.WithContext(ctx)); err != context.Canceled {
		t.Errorf("%v", err)
	}
}

// A store whose context has ended and which is not closed takes no writes any more: what then cannot be removed is told of.
func TestCO03_WhatCannotBeRemovedIsReported(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cli, err := etclite.New(etclite.Config{Endpoints: []string{"memory:"}, Context: ctx})
	must(t, err)
	t.Cleanup(func() { _ = cli.Close() })
	must(t, concurrency.NewMutex(session(t, cli), "lock").Lock(patient(t)))
	m := concurrency.NewMutex(session(t, cli), "lock")
	waiting := result(func() error { return m.Lock(patient(t)) })
	awaitCount(t, cli, "lock/", 2)
	cancel()
	if err := within(t, waiting); err == nil || !strings.Contains(err.Error(), "stays until its lease ends: context canceled") {
		t.Errorf("%v", err)
	}
}
