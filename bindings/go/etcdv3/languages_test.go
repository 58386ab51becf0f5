package etcdv3

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	theirs "go.etcd.io/etcd/client/v3/concurrency"

	etclite "github.com/etclite/etclite/bindings/go"
	ours "github.com/etclite/etclite/bindings/go/concurrency"
	"github.com/etclite/etclite/bindings/go/internal/cmutex"
	"github.com/etclite/etclite/bindings/go/internal/raw"
)

// locker is a lock of some language.
type locker interface {
	Lock(context.Context) error
	Unlock(context.Context) error
}

// fromC is the C library's lock, which is the one of crate etclite behind C's handles.
type fromC struct{ *cmutex.Mutex }

func (m fromC) Lock(context.Context) error   { return m.Mutex.Lock() }
func (m fromC) Unlock(context.Context) error { return m.Mutex.Unlock() }

// One name, one store, one process: whoever locks it, by Rust's and C's functions, by this module's package or by etcd's own,
// is alone.
func TestLocksOfAllLanguagesExcludeEachOther(t *testing.T) {
	const name, rounds = "/shared", 25
	opened, err := etclite.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	client, err := Over(opened)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	ctx := soon(t)

	kinds := []func() (locker, func() error, error){
		func() (locker, func() error, error) {
			m, err := cmutex.New(raw.Of(opened).DB(), name)
			return fromC{m}, m.Close, err
		},
		func() (locker, func() error, error) {
			s, err := ours.NewSession(opened)
			if err != nil {
				return nil, nil, err
			}
			return ours.NewMutex(s, name), s.Close, nil
		},
		func() (locker, func() error, error) {
			s, err := theirs.NewSession(client)
			if err != nil {
				return nil, nil, err
			}
			return theirs.NewMutex(s, name), s.Close, nil
		},
	}
	var inside, entered atomic.Int32
	together(t, 2*len(kinds), func(i int) error {
		lock, end, err := kinds[i%len(kinds)]()
		if err != nil {
			return err
		}
		for range rounds {
			if err := lock.Lock(ctx); err != nil {
				return err
			}
			if inside.Add(1) != 1 {
				return errors.New("not alone")
			}
			entered.Add(1)
			inside.Add(-1)
			if err := lock.Unlock(ctx); err != nil {
				return err
			}
		}
		return end()
	})
	if want := int32(2 * len(kinds) * rounds); entered.Load() != want {
		t.Errorf("%d entered instead of %d", entered.Load(), want)
	}
}
