//go:build linux

package etclite_test

import (
	"context"
	"errors"
	"testing"
	"time"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/concurrency"
)

// stalled is what a call in a goroutine of its own returns.
func stalled(call func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	return done
}

// soon is the result of a call that must return though the disk stalls.
func soon(t *testing.T, what string, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: not before the disk goes on", what)
	}
	panic("unreachable")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What waits behind the commit of others when its context ends is taken back: nothing of it is left, and nobody waits for the disk.
func TestContextsOfLocksWhileTheDiskStalls(t *testing.T) {
	ctx := context.Background()
	cli := etclite.Disk(t)
	session, err := concurrency.NewSession(cli)
	must(t, err)
	mutex, election := concurrency.NewMutex(session, "held"), concurrency.NewElection(session, "led")
	must(t, mutex.Lock(ctx))
	must(t, election.Campaign(ctx, "v"))

	release := etclite.Held(t)
	put := stalled(func() error {
		_, err := cli.Put(ctx, "k", "v")
		return err
	})
	etclite.AwaitHeld(t)
	etclite.Eventually(t, "the put is a commit", cli.Leads)
	for name, call := range map[string]func(ctx context.Context) error{
		"Lock":     concurrency.NewMutex(session, "lock").Lock,
		"TryLock":  concurrency.NewMutex(session, "try").TryLock,
		"Campaign": func(ctx context.Context) error { return concurrency.NewElection(session, "stand").Campaign(ctx, "v") },
		"Unlock":   mutex.Unlock,
		"Resign":   election.Resign,
	} {
		ctx, cancel := context.WithCancel(ctx)
		done := stalled(func() error { return call(ctx) })
		etclite.Eventually(t, name+" waits", func() bool { return cli.Queued() == 1 })
		cancel()
		if err := soon(t, name, done); err != context.Canceled {
			t.Errorf("%s: %v", name, err)
		}
	}
	select {
	case err := <-put:
		t.Errorf("the disk did not stall: %v", err)
	default:
	}
	release()
	must(t, <-put)

	for _, prefix := range []string{"lock/", "try/", "stand/"} {
		if resp, err := cli.Get(ctx, prefix, etclite.WithPrefix()); err != nil || resp.Count != 0 {
			t.Errorf("%s: %v, %v", prefix, resp, err)
		}
	}
	// What was not given back is held, and can be given back.
	if resp, err := cli.Txn(ctx).If(mutex.IsOwner()).Commit(); err != nil || !resp.Succeeded {
		t.Errorf("%v, %v", resp, err)
	}
	must(t, mutex.Unlock(ctx))
	must(t, election.Resign(ctx))
}

// B-062: whoever closes a session waits no longer than its lease would have lasted, whoever makes the commit.
func TestB062_CloseHasATimeLimitOfItsOwn(t *testing.T) {
	ctx := context.Background()
	for name, first := range map[string]bool{"behind a commit": false, "with its own commit": true} {
		t.Run(name, func(t *testing.T) {
			cli := etclite.Disk(t)
			session, err := concurrency.NewSession(cli, concurrency.WithTTL(2))
			must(t, err)
			release := etclite.Held(t)
			put := stalled(func() error {
				if first {
					return nil
				}
				_, err := cli.Put(ctx, "k", "v")
				return err
			})
			if !first {
				etclite.AwaitHeld(t)
				etclite.Eventually(t, "the put is a commit", cli.Leads)
			}
			start := time.Now()
			err = soon(t, "Close", stalled(session.Close))
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took < 2*time.Second {
				t.Errorf("%v after %v", err, took)
			}
			release()
			must(t, <-put)
		})
	}
}
