package etclite

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// A schedule is leases that are kept alive on a clock of its own.
type schedule struct {
	t    *testing.T
	now  time.Time
	kept keptLeases
}

func newSchedule(t *testing.T) *schedule {
	return &schedule{t: t, now: time.Unix(1_000_000, 0), kept: keptLeases{byID: make(map[LeaseID]*keptLease)}}
}

func (s *schedule) listen(id LeaseID) chan *LeaseKeepAliveResponse {
	ch := make(chan *LeaseKeepAliveResponse, LeaseResponseChSize)
	s.kept.listen(id, ch, s.now)
	return ch
}

// next moves the clock to when something is due, and says what and when.
func (s *schedule) next() ([]LeaseID, time.Time) {
	ids, wait := s.kept.due(s.now)
	if ids == nil && wait < idle {
		s.now = s.now.Add(wait)
		ids, _ = s.kept.due(s.now)
	}
	return ids, s.now
}

func (s *schedule) renewed(id LeaseID, ttl, revision int64) {
	s.kept.renewed(id, &wire.LeaseKeepAliveResponse{Header: header(revision), ID: int64(id), TTL: ttl}, nil, s.now)
}

func isClosed(ch chan *LeaseKeepAliveResponse) bool {
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return true
			}
		default:
			return false
		}
	}
}

func TestLeasesAreRenewedAtAThirdOfTheirTime(t *testing.T) {
	s := newSchedule(t)
	start := s.now
	s.listen(1)
	s.listen(2)
	if ids, at := s.next(); len(ids) != 2 || at != start {
		t.Fatalf("%v at %v", ids, at)
	}
	// Until there is an answer nothing is due.
	if ids, _ := s.kept.due(s.now); ids != nil {
		t.Errorf("%v", ids)
	}
	s.renewed(1, 3, 1)
	s.renewed(2, 9, 1)
	for _, want := range []struct {
		after int
		ids   []LeaseID
	}{{1, []LeaseID{1}}, {2, []LeaseID{1}}, {3, []LeaseID{1, 2}}, {4, []LeaseID{1}}} {
		ids, at := s.next()
		if at != start.Add(time.Duration(want.after)*time.Second) || len(ids) != len(want.ids) {
			t.Fatalf("%v after %v", ids, at.Sub(start))
		}
		for _, id := range ids {
			s.renewed(id, map[LeaseID]int64{1: 3, 2: 9}[id], 1)
		}
	}
}

// etcd-io/etcd#7446, go-kit/kit#799: nobody read the keep-alive channel: the log filled up, renewals went from every third of the ttl to
// twice a second.
func TestB059NobodyReadsTheRenewals(t *testing.T) {
	s := newSchedule(t)
	start := s.now
	unread := s.listen(7)
	const renewals = 100
	for i := range renewals {
		ids, at := s.next()
		if len(ids) != 1 || at != start.Add(time.Duration(i)*3*time.Second) {
			t.Fatalf("renewal %d: %v after %v", i, ids, at.Sub(start))
		}
		s.renewed(7, 9, int64(i+1))
	}
	if len(unread) != LeaseResponseChSize {
		t.Errorf("%d answers wait", len(unread))
	}
	var last *LeaseKeepAliveResponse
	for len(unread) > 0 {
		last = <-unread
	}
	if last.Revision != renewals {
		t.Errorf("the newest answer is that of renewal %d", last.Revision)
	}

	// And in a store: the lease lives on, and all that is read late is a renewal.
	inTime(t, func(ttl int64) error {
		c := memory(t)
		granted, kept, err := keptKey(c, ttl)
		if err != nil {
			return err
		}
		watch := c.Watch(background, "k", WithRev(granted.Revision+2))
		// The last of three is after the lease's first time.
		eventually(t, "three renewals, or the lease's end", func() bool { return len(kept) >= 4 || len(watch) > 0 })
		if len(watch) != 0 || len(get(t, c, "k")) != 1 {
			return errors.New("the lease ended")
		}
		return nil
	})
}

// inTime does something that needs a lease to be renewed in time, with a TTL in seconds. On a machine that is busy with other
// things a second may be too short, and then longer ones must do.
func inTime(t *testing.T, do func(ttl int64) error) {
	t.Helper()
	var err error
	for _, ttl := range []int64{1, 4, 16} {
		if err = do(ttl); err == nil {
			return
		}
		t.Logf("with a TTL of %d s: %v", ttl, err)
	}
	t.Error(err)
}

// keptKey puts "k" with a lease that is kept alive.
func keptKey(c *Client, ttl int64) (*LeaseGrantResponse, <-chan *LeaseKeepAliveResponse, error) {
	granted, err := c.Grant(background, ttl)
	if err != nil {
		return nil, nil, err
	}
	if _, err := c.Put(background, "k", "v", WithLease(granted.ID)); err != nil {
		return nil, nil, err
	}
	kept, err := c.KeepAlive(background, granted.ID)
	return granted, kept, err
}

func nextRenewal(kept <-chan *LeaseKeepAliveResponse) (*LeaseKeepAliveResponse, error) {
	select {
	case renewed, ok := <-kept:
		if !ok {
			return nil, errors.New("the lease ended")
		}
		return renewed, nil
	case <-time.After(patience):
		return nil, fmt.Errorf("no renewal within %v", patience)
	}
}

func TestOneLeaseOfManyListeners(t *testing.T) {
	s := newSchedule(t)
	first, second := s.listen(1), s.listen(1)
	if ids, _ := s.next(); len(ids) != 1 {
		t.Fatalf("%v", ids)
	}
	s.renewed(1, 9, 1)
	third := s.listen(1)
	if ids, _ := s.kept.due(s.now); len(ids) != 1 {
		t.Errorf("a new listener is told at once: %v", ids)
	}
	s.renewed(1, 9, 2)
	if len(first) != 2 || len(second) != 2 || len(third) != 1 {
		t.Errorf("%d, %d, %d answers", len(first), len(second), len(third))
	}
	lease := s.kept.byID[1]
	s.kept.leave(lease, first)
	s.kept.leave(lease, first)
	if !isClosed(first) || isClosed(second) {
		t.Error("one leaves, the others stay")
	}
	s.kept.leave(lease, second)
	s.kept.leave(lease, third)
	if len(s.kept.byID) != 0 || len(s.kept.order) != 0 {
		t.Error("a lease without listeners is renewed")
	}
}

func TestALeaseThatIsGoneClosesItsChannels(t *testing.T) {
	s := newSchedule(t)
	gone, missing, other := s.listen(1), s.listen(2), s.listen(3)
	s.next()
	s.renewed(1, 0, 1)
	s.kept.renewed(2, nil, rpctypes.ErrLeaseNotFound, s.now)
	s.renewed(3, 9, 1)
	if !isClosed(gone) || !isClosed(missing) || isClosed(other) {
		t.Error("the wrong ones are closed")
	}
	// An answer for a lease that nobody keeps alive any more is nothing.
	s.renewed(1, 9, 2)
}

func TestRenewalsThatFailAreTriedUntilTheLeaseIsOver(t *testing.T) {
	s := newSchedule(t)
	start := s.now
	ch := s.listen(1)
	s.next()
	s.renewed(1, 9, 1)
	last := start
	for !isClosed(ch) {
		ids, at := s.next()
		if len(ids) != 1 || at.After(start.Add(9*time.Second)) {
			t.Fatalf("%v after %v", ids, at.Sub(start))
		}
		last = at
		s.kept.renewed(1, nil, rpctypes.ErrPoisoned, s.now)
	}
	if tried := last.Sub(start); tried < 8*time.Second {
		t.Errorf("given up after %v of 9 s", tried)
	}
}

func TestKeepAliveRenewsAtOnceAndAgain(t *testing.T) {
	inTime(t, func(ttl int64) error {
		c := memory(t)
		began := time.Now()
		granted, kept, err := keptKey(c, ttl)
		if err != nil {
			return err
		}
		for range 5 {
			renewed, err := nextRenewal(kept)
			if err != nil {
				return err
			}
			if renewed.ID != granted.ID || renewed.TTL != ttl || renewed.Revision != 2 {
				t.Errorf("%+v", renewed)
			}
		}
		// At once, and four times after a third of its time each.
		if took := time.Since(began); took < time.Duration(ttl)*time.Second {
			t.Errorf("five renewals in %v", took)
		}
		equal(t, get(t, c, "k"), []string{"k=v"})
		if _, err := c.Revoke(background, granted.ID); err != nil {
			return err
		}
		awaitClosed(t, kept)
		return nil
	})
}

func TestKeepAliveOfNoLeaseIsClosed(t *testing.T) {
	c := memory(t)
	kept, err := c.KeepAlive(background, 12345)
	if err != nil {
		t.Fatal(err)
	}
	if response, ok := <-kept; ok {
		t.Errorf("%+v", response)
	}
}

// etcd-io/etcd#17470: a lock stayed alive because a forgotten task kept renewing its lease.
func TestB078TheEndOfTheContextEndsTheRenewals(t *testing.T) {
	inTime(t, func(ttl int64) error {
		c := memory(t)
		granted, err := c.Grant(background, ttl)
		if err != nil {
			return err
		}
		if _, err := c.Put(background, "k", "v", WithLease(granted.ID)); err != nil {
			return err
		}
		watch := c.Watch(background, "k", WithRev(3))
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		kept, err := c.KeepAlive(ctx, granted.ID)
		if err != nil {
			return err
		}
		if _, err := nextRenewal(kept); err != nil {
			return err
		}
		cancel()
		awaitClosed(t, kept)
		// The store stays open, and the lease ends in its own time.
		equal(t, events(t, watch, 1), []string{"DELETE k @3"})
		return nil
	})
}

func TestALessorOfItsOwnIsClosedAlone(t *testing.T) {
	c := memory(t)
	granted, err := c.Grant(background, 60)
	if err != nil {
		t.Fatal(err)
	}
	own := NewLease(c)
	mine, err := own.KeepAlive(background, granted.ID)
	if err != nil {
		t.Fatal(err)
	}
	others, err := c.KeepAlive(background, granted.ID)
	if err != nil {
		t.Fatal(err)
	}
	receive(t, mine)
	receive(t, others)
	if err := errors.Join(own.Close(), own.Close()); err != nil {
		t.Error(err)
	}
	awaitClosed(t, mine)
	if _, err := own.KeepAlive(background, granted.ID); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	select {
	case _, ok := <-others:
		if !ok {
			t.Error("another's channel was closed")
		}
	default:
	}
	if _, err := c.KeepAliveOnce(background, granted.ID); err != nil {
		t.Error(err)
	}
}
