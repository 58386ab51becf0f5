package concurrency

import (
	"context"
	"errors"
	"sync"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/internal/decided"
)

// What locks fail with, beside errors of the store and of contexts.
var (
	// ErrLocked says that another session has the lock.
	ErrLocked = errors.New("mutex: Locked by another session")
	// ErrSessionExpired says that the session has ended, and with it what it had.
	ErrSessionExpired = errors.New("mutex: session is expired")
	// ErrLockReleased says that there is nothing to unlock.
	ErrLockReleased = errors.New("mutex: lock has already been released")
)

// What Key and IsOwner stand on without a lock: as etcd's client, a key that nobody has.
const (
	noKey = "\x00"
	noRev = -1
)

// A Mutex is a lock by name, for one session. The session whose key was created first has it, then the next.
type Mutex struct {
	s   *Session
	pfx string

	// Guards what follows.
	mu    sync.Mutex
	myKey string
	myRev int64
	hdr   *etclite.ResponseHeader
}

// NewMutex is the lock of a name. Its keys are the name, "/" and the lease in hexadecimal; nothing else may be put under the
// name and "/".
func NewMutex(s *Session, pfx string) *Mutex {
	return &Mutex{s: s, pfx: pfx + "/", myRev: noRev}
}

// TryLock takes the lock if it is free, or this session's already. ErrLocked if another session has it, or waits for it:
// nothing was written then.
func (m *Mutex) TryLock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key := keyOf(m.s, m.pfx)
	put := etclite.OpPut(key, "", etclite.WithLease(m.s.Lease()))
	owner := etclite.OpGet(m.pfx, etclite.WithFirstCreate()...)
	resp, err := m.s.client.Txn(decided.Context(ctx)).If(nobody(m.pfx)).Then(put).Else(owner).Commit()
	if err != nil {
		return expired(err)
	}
	if resp.Succeeded {
		p := &place{s: m.s, pfx: m.pfx, key: key, rev: resp.Header.GetRevision(), alone: true, hdr: resp.Header}
		return m.hold(p, p.await(ctx))
	}
	kvs := resp.Responses[0].GetResponseRange().Kvs
	if len(kvs) == 0 || string(kvs[0].Key) != key {
		return ErrLocked
	}
	return m.hold(&place{key: key, rev: kvs[0].CreateRevision, hdr: resp.Header}, nil)
}

// Lock takes the lock, and waits for it until the context ends: then the context's error is returned, and the session stands
// in line no more. ErrSessionExpired as soon as the session ends.
func (m *Mutex) Lock(ctx context.Context) error {
	p, err := join(ctx, m.s, m.pfx, "")
	if err != nil {
		return err
	}
	return m.hold(p, p.await(ctx))
}

// hold notes what was taken.
func (m *Mutex) hold(p *place, err error) error {
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.myKey, m.myRev, m.hdr = p.key, p.rev, p.hdr
	return nil
}

// Unlock gives the lock back. On an error, the context's too, it is still held, and Unlock can be called again; but ErrSessionExpired says that it
// was lost before, and ErrLockReleased that it was given back.
//
// Differs from etcd: what another session holds by now is not touched.
func (m *Mutex) Unlock(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.myRev == noRev {
		return ErrLockReleased
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	resp, err := release(decided.Context(ctx), m.s.client, m.myKey, m.myRev)
	if err != nil {
		return err
	}
	m.myKey, m.myRev = noKey, noRev
	if !resp.Succeeded {
		return ErrSessionExpired
	}
	return nil
}

// IsOwner is a condition for a txn that holds while the lock does.
func (m *Mutex) IsOwner() etclite.Cmp {
	m.mu.Lock()
	defer m.mu.Unlock()
	return created(m.myKey, m.myRev)
}

// Key is the session's key in the line of the lock, once it was taken.
func (m *Mutex) Key() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.myKey
}

// Header is that of the answer that gave the lock; nil before.
func (m *Mutex) Header() *etclite.ResponseHeader {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hdr
}

type locker struct{ *Mutex }

func (l locker) Lock() {
	if err := l.Mutex.Lock(l.s.client.Ctx()); err != nil {
		panic(err)
	}
}

func (l locker) Unlock() {
	if err := l.Mutex.Unlock(l.s.client.Ctx()); err != nil {
		panic(err)
	}
}

// NewLocker is a mutex as a sync.Locker. It panics if the lock cannot be taken or given back.
func NewLocker(s *Session, pfx string) sync.Locker {
	return locker{NewMutex(s, pfx)}
}
