package concurrency

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

const defaultSessionTTL = 60

// A Session is a lease that is kept alive as long as its owner lives: what is held through it is given up when he dies.
type Session struct {
	client *etclite.Client
	opts   sessionOptions
	id     etclite.LeaseID

	ctx    context.Context
	cancel context.CancelFunc
	donec  chan struct{}

	// Whether renewing was given up on purpose, so that its end does not mean that the lease is gone.
	orphaned atomic.Bool
	// Closed once the lease is gone.
	lost chan struct{}
}

// NewSession grants a lease, unless WithLease names one, and keeps it alive.
func NewSession(client *etclite.Client, opts ...SessionOption) (*Session, error) {
	ops := sessionOptions{ttl: defaultSessionTTL, ctx: client.Ctx()}
	for _, opt := range opts {
		opt(&ops)
	}
	id := ops.leaseID
	if id == etclite.NoLease {
		granted, err := client.Grant(ops.ctx, int64(ops.ttl))
		if err != nil {
			return nil, err
		}
		id = granted.ID
	}
	s := &Session{client: client, opts: ops, id: id, donec: make(chan struct{}), lost: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(ops.ctx)
	renewals, err := client.KeepAlive(s.ctx, id)
	if err != nil {
		s.cancel()
		if ops.leaseID == etclite.NoLease {
			// Nobody knows this lease.
			_, revokeErr := client.Revoke(context.WithoutCancel(ops.ctx), id)
			err = withCleanup(err, revokeErr)
		}
		return nil, err
	}
	go s.follow(renewals)
	return s, nil
}

func (s *Session) follow(renewals <-chan *etclite.LeaseKeepAliveResponse) {
	for range renewals {
		// What counts is that there are some.
	}
	if !s.orphaned.Load() && s.opts.ctx.Err() == nil {
		close(s.lost)
	}
	s.cancel()
	close(s.donec)
}

// Client is the client that the session belongs to.
func (s *Session) Client() *etclite.Client { return s.client }

// Lease is the session's lease. Keys put with it go when the session ends.
func (s *Session) Lease() etclite.LeaseID { return s.id }

// Ctx is a context that ends when the lease is not kept alive any more.
func (s *Session) Ctx() context.Context { return s.ctx }

// Done is closed when the lease is not kept alive any more: it is gone, or the session was orphaned or closed.
func (s *Session) Done() <-chan struct{} { return s.donec }

// Orphan stops keeping the lease alive, which then ends after its TTL unless somebody else renews it.
func (s *Session) Orphan() {
	s.orphaned.Store(true)
	s.cancel()
	<-s.donec
}

// Close orphans the session and revokes its lease: what was held through it is free on return. It waits at most the session's
// TTL: then the error is context.DeadlineExceeded, and the lease may or may not be revoked. ErrLeaseNotFound if the lease was gone already.
//
// Differs from etcd: the context of WithContext may have ended; the lease is revoked all the same.
func (s *Session) Close() error {
	s.Orphan()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.opts.ctx), time.Duration(s.opts.ttl)*time.Second)
	defer cancel()
	revoked := make(chan error, 1)
	// A call whose commit has begun does not look at its context.
	go func() {
		_, err := s.client.Revoke(ctx, s.id)
		revoked <- err
	}()
	select {
	case err := <-revoked:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// check tells whether the session is lost.
func (s *Session) check() error {
	select {
	case <-s.lost:
		return s.loss()
	default:
		return nil
	}
}

// loss is the error for the end of the session.
func (s *Session) loss() error {
	if s.client.Ctx().Err() != nil {
		return etclite.ErrClosed
	}
	return ErrSessionExpired
}

// expired turns the error that a lease is gone into what that means for a session.
func expired(err error) error {
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return ErrSessionExpired
	}
	return err
}

type sessionOptions struct {
	ttl     int
	leaseID etclite.LeaseID
	ctx     context.Context
}

// A SessionOption is an option of NewSession.
type SessionOption func(*sessionOptions)

// WithTTL sets the TTL in seconds; 60 without it. What is not above 0 changes nothing.
func WithTTL(ttl int) SessionOption {
	return func(so *sessionOptions) {
		if ttl > 0 {
			so.ttl = ttl
		}
	}
}

// WithLease takes over a lease that exists, for example that of an earlier process.
func WithLease(leaseID etclite.LeaseID) SessionOption {
	return func(so *sessionOptions) { so.leaseID = leaseID }
}

// WithContext sets a context whose end orphans the session; the client's without it.
func WithContext(ctx context.Context) SessionOption {
	return func(so *sessionOptions) { so.ctx = ctx }
}
