package concurrency

import (
	"context"
	"errors"
	"strings"
	"sync"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/internal/decided"
)

// What elections fail with, beside ErrSessionExpired and errors of the store and of contexts.
var (
	// ErrElectionNotLeader says that the lead was lost, resigned or never won.
	ErrElectionNotLeader = errors.New("election: not leader")
	// ErrElectionNoLeader says that nobody leads.
	ErrElectionNoLeader = errors.New("election: no leader")
)

// An Election is a lock whose owner, the leader, has something to say. The candidate that came first leads until it resigns or
// its session ends, then the next.
type Election struct {
	session   *Session
	keyPrefix string

	// Guards what follows.
	mu            sync.Mutex
	leaderKey     string
	leaderRev     int64
	leaderSession *Session
	hdr           *etclite.ResponseHeader
}

// NewElection is the election of a name. Its keys are as those of a Mutex, with the proposal as their value.
func NewElection(s *Session, pfx string) *Election {
	return &Election{session: s, keyPrefix: pfx + "/"}
}

// ResumeElection is an election that leaderKey, created at leaderRev, leads already; for example that of an earlier process with
// the same lease.
//
// Differs from etcd: its prefix is that of the key, so that a later Campaign stands in the same line.
func ResumeElection(s *Session, pfx string, leaderKey string, leaderRev int64) *Election {
	prefix := pfx + "/"
	if end := strings.LastIndexByte(leaderKey, '/'); end >= 0 && strings.HasPrefix(leaderKey, pfx) {
		prefix = leaderKey[:end+1]
	}
	return &Election{session: s, keyPrefix: prefix, leaderKey: leaderKey, leaderRev: leaderRev, leaderSession: s}
}

// Campaign stands for election with a proposal, and waits until elected or until the context ends: then the context's error is
// returned, and the session stands no more. A session that stands or leads already changes its proposal.
//
// ErrSessionExpired as soon as the session ends; ErrElectionNotLeader if Resign was called meanwhile.
func (e *Election) Campaign(ctx context.Context, val string) error {
	p, err := join(ctx, e.session, e.keyPrefix, val)
	if err != nil {
		return err
	}
	// Known before the wait ends, so that Resign can withdraw it.
	e.stand(p)
	if p.found != nil && string(p.found.Value) != val {
		if err := e.Proclaim(ctx, val); err != nil {
			return err
		}
	}
	err = p.await(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	withdrawn := e.leaderSession == nil || e.leaderRev != p.rev
	if err == nil && !withdrawn {
		e.hdr = p.hdr
		return nil
	}
	if err == nil || withdrawn && errors.Is(err, ErrSessionExpired) && p.s.check() == nil {
		return ErrElectionNotLeader
	}
	if !withdrawn && p.found == nil {
		e.leaderKey, e.leaderSession = "", nil
	}
	return err
}

func (e *Election) stand(p *place) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leaderKey, e.leaderRev, e.leaderSession = p.key, p.rev, p.s
}

// Proclaim changes the leader's proposal. ErrElectionNotLeader if the lead was lost.
func (e *Election) Proclaim(ctx context.Context, val string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.leaderSession == nil {
		return ErrElectionNotLeader
	}
	put := etclite.OpPut(e.leaderKey, val, etclite.WithLease(e.leaderSession.Lease()))
	resp, err := e.session.client.Txn(ctx).If(created(e.leaderKey, e.leaderRev)).Then(put).Commit()
	if err != nil {
		return expired(err)
	}
	if !resp.Succeeded {
		e.leaderKey, e.leaderSession = "", nil
		return ErrElectionNotLeader
	}
	e.hdr = resp.Header
	return nil
}

// Resign gives the lead up, or withdraws from standing. It is no error if that had happened before. On an error the session
// still leads, and Resign can be called again.
func (e *Election) Resign(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.leaderSession == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	resp, err := release(decided.Context(ctx), e.session.client, e.leaderKey, e.leaderRev)
	if err != nil {
		return err
	}
	e.hdr = resp.Header
	e.leaderKey, e.leaderSession = "", nil
	return nil
}

// Leader is the leader's key, whose value is its proposal, as the only one of Kvs. ErrElectionNoLeader if nobody leads.
func (e *Election) Leader(ctx context.Context) (*etclite.GetResponse, error) {
	resp, err := e.session.client.Get(ctx, e.keyPrefix, etclite.WithFirstCreate()...)
	if err != nil {
		return nil, err
	}
	if len(resp.Kvs) == 0 {
		return nil, ErrElectionNoLeader
	}
	return resp, nil
}

// Key is the leader's key if this session leads, or stands; else it is empty.
func (e *Election) Key() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leaderKey
}

// Rev is the create revision of Key: it rises from leader to leader.
func (e *Election) Rev() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leaderRev
}

// Header is that of the answer to the latest proposal that was accepted.
func (e *Election) Header() *etclite.ResponseHeader {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hdr
}
