package concurrency_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/concurrency"
)

// leading is an election that a session of its own leads.
func leading(t *testing.T, cli *etclite.Client, name, val string) *concurrency.Election {
	t.Helper()
	e := concurrency.NewElection(session(t, cli), name)
	must(t, e.Campaign(patient(t), val))
	return e
}

// proposal is what the leader says, empty if there is none.
func proposal(t *testing.T, e *concurrency.Election) string {
	t.Helper()
	resp, err := e.Leader(patient(t))
	if err == concurrency.ErrElectionNoLeader {
		return ""
	}
	must(t, err)
	return string(resp.Kvs[0].Value)
}

func TestCO08_ALeadersLife(t *testing.T) {
	cli := open(t)
	s := session(t, cli)
	e := concurrency.NewElection(s, "/scheduler")
	if _, err := e.Leader(patient(t)); err != concurrency.ErrElectionNoLeader {
		t.Errorf("%v", err)
	}
	if err := e.Proclaim(patient(t), "early"); err != concurrency.ErrElectionNotLeader {
		t.Errorf("%v", err)
	}
	must(t, e.Campaign(patient(t), "a"))
	resp, err := e.Leader(patient(t))
	must(t, err)
	want := fmt.Sprintf("/scheduler/%x", int64(s.Lease()))
	if kv := resp.Kvs[0]; e.Key() != want || string(kv.Key) != want || e.Rev() != kv.CreateRevision || etclite.LeaseID(kv.Lease) != s.Lease() {
		t.Errorf("%q, %d, %+v", e.Key(), e.Rev(), kv)
	}
	if e.Header().Revision != e.Rev() || proposal(t, e) != "a" {
		t.Errorf("%+v", e.Header())
	}
	must(t, e.Proclaim(patient(t), "b"))
	if e.Header().Revision != e.Rev()+1 || proposal(t, e) != "b" {
		t.Errorf("%+v", e.Header())
	}
	// Campaigning again is a proclamation.
	must(t, e.Campaign(patient(t), "c"))
	must(t, e.Campaign(patient(t), "c"))
	if proposal(t, e) != "c" || count(t, cli, "/scheduler/") != 1 || revision(t, cli) != e.Rev()+2 {
		t.Errorf("%q at revision %d", proposal(t, e), revision(t, cli))
	}
	must(t, e.Resign(patient(t)))
	must(t, e.Resign(patient(t)))
	if proposal(t, e) != "" || e.Key() != "" {
		t.Errorf("%q after resigning", proposal(t, e))
	}
}

// B-026: a dead holder's key had no lease, and blocked everybody until someone removed it by hand.
func TestB026_ProclaimKeepsTheLeaseAndTheCreateRevision(t *testing.T) {
	cli := open(t)
	s := session(t, cli)
	e := concurrency.NewElection(s, "e")
	must(t, e.Campaign(patient(t), "a"))
	must(t, e.Proclaim(patient(t), "b"))
	must(t, e.Campaign(patient(t), "c"))
	resumed := concurrency.ResumeElection(s, "e", e.Key(), e.Rev())
	must(t, resumed.Proclaim(patient(t), "d"))
	resp, err := e.Leader(patient(t))
	must(t, err)
	if kv := resp.Kvs[0]; etclite.LeaseID(kv.Lease) != s.Lease() || kv.CreateRevision != e.Rev() || kv.Version != 4 {
		t.Errorf("%+v", kv)
	}
	must(t, s.Close())
	if count(t, cli, "e/") != 0 {
		t.Error("the key outlives the session")
	}
}

func TestCO08_TheNextInLineLeads(t *testing.T) {
	cli := open(t)
	first := leading(t, cli, "e", "first")
	second, third := concurrency.NewElection(session(t, cli), "e"), concurrency.NewElection(session(t, cli), "e")
	two := result(func() error { return second.Campaign(patient(t), "second") })
	awaitCount(t, cli, "e/", 2)
	three := result(func() error { return third.Campaign(patient(t), "third") })
	awaitCount(t, cli, "e/", 3)
	must(t, first.Resign(patient(t)))
	must(t, within(t, two))
	if proposal(t, first) != "second" || second.Rev() <= first.Rev() {
		t.Errorf("%q leads", proposal(t, first))
	}
	must(t, second.Resign(patient(t)))
	must(t, within(t, three))
	if proposal(t, first) != "third" {
		t.Errorf("%q leads", proposal(t, first))
	}
}

func TestCO08_ACandidateWhoseSessionEndsLearnsItAtOnce(t *testing.T) {
	cli := open(t)
	first := leading(t, cli, "e", "first")
	dying := session(t, cli)
	e := concurrency.NewElection(dying, "e")
	waiting := result(func() error { return e.Campaign(patient(t), "dying") })
	awaitCount(t, cli, "e/", 2)
	must(t, dying.Close())
	if err := within(t, waiting); err != concurrency.ErrSessionExpired || e.Key() != "" {
		t.Errorf("%v, key %q", err, e.Key())
	}
	if proposal(t, first) != "first" || count(t, cli, "e/") != 1 {
		t.Errorf("%q leads", proposal(t, first))
	}
	if err := e.Campaign(patient(t), "dead"); err != concurrency.ErrSessionExpired {
		t.Errorf("%v", err)
	}
}

func TestB016_ACancelledCampaignLeavesNoKey(t *testing.T) {
	cli := open(t)
	leading(t, cli, "e", "first")
	ctx, cancel := context.WithCancel(context.Background())
	e := concurrency.NewElection(session(t, cli), "e")
	waiting := result(func() error { return e.Campaign(ctx, "second") })
	awaitCount(t, cli, "e/", 2)
	cancel()
	if err := within(t, waiting); err != context.Canceled || e.Key() != "" || count(t, cli, "e/") != 1 {
		t.Errorf("%v, key %q", err, e.Key())
	}
	if err := e.Proclaim(patient(t), "second"); err != concurrency.ErrElectionNotLeader {
		t.Errorf("%v", err)
	}
	// To campaign again with a context that has ended does not cost a leader the lead.
	leader := leading(t, cli, "other", "first")
	if err := leader.Campaign(ctx, "second"); err != context.Canceled || proposal(t, leader) != "first" {
		t.Errorf("%v, %q leads", err, proposal(t, leader))
	}
	must(t, leader.Proclaim(patient(t), "third"))
}

func TestCO08_ResignWithdrawsACandidate(t *testing.T) {
	cli := open(t)
	first := leading(t, cli, "e", "first")
	e := concurrency.NewElection(session(t, cli), "e")
	waiting := result(func() error { return e.Campaign(patient(t), "second") })
	awaitCount(t, cli, "e/", 2)
	// Resign needs to know the key, which Campaign notes once its put is answered.
	for start := time.Now(); e.Key() == ""; runtime.Gosched() {
		if time.Since(start) > patience {
			t.Fatal("the candidate does not know its key")
		}
	}
	must(t, e.Resign(patient(t)))
	if err := within(t, waiting); err != concurrency.ErrElectionNotLeader || count(t, cli, "e/") != 1 {
		t.Errorf("%v", err)
	}
	if proposal(t, first) != "first" {
		t.Errorf("%q leads", proposal(t, first))
	}
}

func TestCO08_ALeadThatWasLost(t *testing.T) {
	cli := open(t)
	e := leading(t, cli, "e", "first")
	_, err := cli.Delete(patient(t), e.Key())
	must(t, err)
	second := leading(t, cli, "e", "second")
	if err := e.Proclaim(patient(t), "again"); err != concurrency.ErrElectionNotLeader || e.Key() != "" {
		t.Errorf("%v", err)
	}
	must(t, e.Resign(patient(t)))
	if proposal(t, second) != "second" {
		t.Errorf("%q leads", proposal(t, second))
	}
}

func TestB062_ResignWithAContextThatHasEnded(t *testing.T) {
	cli := open(t)
	e := leading(t, cli, "e", "first")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Resign(ctx); err != context.Canceled || proposal(t, e) != "first" {
		t.Errorf("%v", err)
	}
	must(t, e.Resign(patient(t)))
	if proposal(t, e) != "" {
		t.Error("the second Resign frees nothing")
	}
}

func TestCO08_ResumeElection(t *testing.T) {
	cli := open(t)
	s := session(t, cli)
	before := concurrency.NewElection(s, "e")
	must(t, before.Campaign(patient(t), "before"))
	e := concurrency.ResumeElection(s, "e", before.Key(), before.Rev())
	must(t, e.Proclaim(patient(t), "resumed"))
	if proposal(t, before) != "resumed" || e.Key() != before.Key() || e.Rev() != before.Rev() {
		t.Errorf("%q leads", proposal(t, before))
	}
	// It stands in the same line as before.
	must(t, e.Campaign(patient(t), "again"))
	if count(t, cli, "e") != 1 || proposal(t, e) != "again" {
		t.Errorf("%d keys", count(t, cli, "e"))
	}
	must(t, e.Resign(patient(t)))
	if proposal(t, before) != "" {
		t.Errorf("%q leads", proposal(t, before))
	}
}

func observed(t *testing.T, c <-chan *etclite.GetResponse) string {
	t.Helper()
	select {
	case resp, ok := <-c:
		if !ok {
			t.Fatal("the channel is closed")
		}
		if len(resp.Kvs) != 1 || resp.Header.Revision < resp.Kvs[0].ModRevision {
			t.Fatalf("%+v", resp)
		}
		return string(resp.Kvs[0].Value)
	case <-time.After(patience):
		t.Fatalf("nothing within %v", patience)
	}
	panic("unreachable")
}

func TestCO08_ObserveBringsTheLatestInOrder(t *testing.T) {
	cli := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	e := concurrency.NewElection(session(t, cli), "e")
	seen := e.Observe(ctx)
	must(t, e.Campaign(patient(t), "a1"))
	if got := observed(t, seen); got != "a1" {
		t.Errorf("%q", got)
	}
	must(t, e.Proclaim(patient(t), "a2"))
	must(t, e.Proclaim(patient(t), "a3"))
	got := []string{observed(t, seen)}
	for got[len(got)-1] != "a3" {
		got = append(got, observed(t, seen))
	}
	if !slices.IsSorted(got) {
		t.Errorf("%q", got)
	}
	second := concurrency.NewElection(session(t, cli), "e")
	waiting := result(func() error { return second.Campaign(patient(t), "b1") })
	awaitCount(t, cli, "e/", 2)
	must(t, e.Resign(patient(t)))
	must(t, within(t, waiting))
	if got := observed(t, seen); got != "b1" {
		t.Errorf("%q", got)
	}
	must(t, second.Resign(patient(t)))
	must(t, e.Campaign(patient(t), "c1"))
	if got := observed(t, seen); got != "c1" {
		t.Errorf("%q", got)
	}
	cancel()
	closed := result(func() error {
		for range seen {
			return errors.New("there was more")
		}
		return nil
	})
	must(t, within(t, closed))
}

func TestCO08_ObserveEndsWithTheClient(t *testing.T) {
	cli := open(t)
	e := leading(t, cli, "e", "a")
	seen := e.Observe(context.Background())
	if got := observed(t, seen); got != "a" {
		t.Errorf("%q", got)
	}
	must(t, cli.Close())
	must(t, within(t, result(func() error { <-seen; return nil })))
}
