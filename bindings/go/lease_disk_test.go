//go:build linux

package etclite

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/etclite/etclite/bindings/go/internal/slowsync"
)

// The first renewal of a lease is durable before it is told. Those of many leases become so together.
func TestManyLeasesShareACommit(t *testing.T) {
	c := disk(t)
	const leases = 500
	var ids []LeaseID
	for range leases {
		granted, err := c.Grant(background, 60)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, granted.ID)
	}
	before := slowsync.Begun()
	var kept []<-chan *LeaseKeepAliveResponse
	release := held(t)
	for _, id := range ids {
		ch, err := c.KeepAlive(background, id)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, ch)
	}
	awaitHeld(t)
	release()
	for _, ch := range kept {
		if renewed := receive(t, ch); renewed.TTL != 60 {
			t.Errorf("%+v", renewed)
		}
	}
	// One for the first, one for those that came meanwhile, and few that the store makes for itself.
	if commits := slowsync.Begun() - before; commits < 1 || commits > 10 {
		t.Errorf("%d commits for %d leases", commits, leases)
	}
	closeClient(t, c)
	for _, ch := range kept {
		awaitClosed(t, ch)
	}
}

// A renewal needs no disk but for the first of its lease. Whatever waits for the disk, no lease ends that its owner keeps alive.
func TestLeasesLiveWhileTheDiskStalls(t *testing.T) {
	// Each begins a commit that is held.
	stalls := map[string]func(c *Client, kept LeaseID) error{
		"put": func(c *Client, _ LeaseID) error {
			_, err := c.Put(background, "other", "v")
			return err
		},
		"grant": func(c *Client, _ LeaseID) error {
			granted, err := c.Grant(background, 60)
			if err != nil {
				return err
			}
			_, err = c.KeepAliveOnce(background, granted.ID)
			return err
		},
		"revoke of another": func(c *Client, kept LeaseID) error {
			_, err := c.Revoke(background, kept)
			return err
		},
	}
	for name, stall := range stalls {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(ttl int64) error { return liveThrough(t, ttl, stall) })
		})
	}
}

func liveThrough(t *testing.T, ttl int64, stall func(c *Client, kept LeaseID) error) error {
	c := disk(t)
	granted, kept, err := keptKey(c, ttl)
	if err != nil {
		return err
	}
	another, err := c.Grant(background, 60*ttl)
	if err != nil {
		return err
	}
	also, err := c.KeepAlive(background, another.ID)
	if err != nil {
		return err
	}
	for _, first := range []<-chan *LeaseKeepAliveResponse{kept, also} {
		if _, err := nextRenewal(first); err != nil {
			return err
		}
	}
	unmarked, err := c.Grant(background, 60*ttl)
	if err != nil {
		return err
	}
	release := held(t)
	defer release()
	stalled := make(chan error, 1)
	go func() { stalled <- stall(c, another.ID) }()
	awaitHeld(t)
	// A lease that is renewed for the first time has to wait, and one that is being revoked; they keep nobody else from it.
	first, err := c.KeepAlive(background, unmarked.ID)
	if err != nil {
		return err
	}
	if also, err = c.KeepAlive(background, another.ID); err != nil {
		return err
	}
	// Three times its time.
	for range 10 {
		if _, err := nextRenewal(kept); err != nil {
			return fmt.Errorf("while the disk stalls: %w", err)
		}
		ctx, cancel := context.WithTimeout(background, patience)
		_, err := c.KeepAliveOnce(ctx, granted.ID)
		cancel()
		if err != nil {
			return fmt.Errorf("renewed once: %w", err)
		}
	}
	select {
	case err := <-stalled:
		t.Errorf("the disk did not stall: %v", err)
	default:
	}
	release()
	if err := receive(t, stalled); err != nil {
		return err
	}
	if len(get(t, c, "k")) != 1 {
		return errors.New("the lease ended")
	}
	receive(t, first)
	closeClient(t, c)
	awaitClosed(t, also)
	return nil
}

func TestAContextEndsTheWaitForARenewal(t *testing.T) {
	c := disk(t)
	var ids []LeaseID
	for range renewingMax + 1 {
		granted, err := c.Grant(background, 60)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, granted.ID)
	}
	release := held(t)
	ctx, cancel := context.WithCancel(background)
	results := make(chan error, len(ids))
	// The last finds no place.
	for i, id := range ids {
		go func() {
			_, err := c.KeepAliveOnce(ctx, id)
			results <- err
		}()
		eventually(t, "it is in the library", func() bool { return len(c.renewing) == min(i+1, renewingMax) })
	}
	awaitHeld(t)
	cancel()
	for range ids {
		if err := receive(t, results); err != context.Canceled {
			t.Errorf("%v", err)
		}
	}
	release()
	eventually(t, "they are done all the same", func() bool { return len(c.renewing) == 0 })
	for _, id := range ids {
		if _, err := c.KeepAliveOnce(background, id); err != nil {
			t.Error(err)
		}
	}
}
