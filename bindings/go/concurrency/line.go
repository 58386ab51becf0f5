package concurrency

import (
	"context"
	"errors"
	"fmt"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/internal/decided"
	"github.com/etclite/etclite/bindings/go/mvccpb"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// A place is a session's key under a prefix. Those that were created earlier come first.
type place struct {
	s   *Session
	pfx string
	key string
	// The create revision of the key.
	rev int64
	// What the session had put there before this call; nil if this call has put the key.
	found *mvccpb.KeyValue
	// Whether nobody else was there.
	alone bool
	// Of the latest look.
	hdr *etclite.ResponseHeader
}

// keyOf is the key of a session under a prefix: the lease in hexadecimal, as etcd's clients have it.
func keyOf(s *Session, pfx string) string {
	return fmt.Sprintf("%s%x", pfx, int64(s.Lease()))
}

// join puts the session's key under the prefix, unless it is there already. The end of the context takes that back as long as
// it waits for others' commits. Later it is waited for: only so is it known whether there is something to be removed.
func join(ctx context.Context, s *Session, pfx, val string) (*place, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	p := &place{s: s, pfx: pfx, key: keyOf(s, pfx)}
	put := etclite.OpPut(p.key, val, etclite.WithLease(s.Lease()))
	behind := etclite.OpTxn([]etclite.Cmp{created(p.key, 0)}, []etclite.Op{put}, []etclite.Op{etclite.OpGet(p.key)})
	resp, err := s.client.Txn(decided.Context(ctx)).If(nobody(pfx)).Then(put).Else(behind).Commit()
	if err != nil {
		return nil, expired(err)
	}
	p.rev, p.alone, p.hdr = resp.Header.GetRevision(), resp.Succeeded, resp.Header
	if !resp.Succeeded {
		if txn := resp.Responses[0].GetResponseTxn(); !txn.Succeeded {
			p.found = txn.Responses[0].GetResponseRange().Kvs[0]
			p.rev = p.found.CreateRevision
		}
	}
	return p, nil
}

// created is the condition that a key was created at a revision; 0 if it must not be there.
func created(key string, rev int64) etclite.Cmp {
	return etclite.Compare(etclite.CreateRevision(key), "=", rev)
}

// nobody is the condition that there is no key under a prefix.
func nobody(pfx string) etclite.Cmp {
	return etclite.Compare(etclite.CreateRevision(pfx).WithPrefix(), "=", 0)
}

// await waits until the place is the first. After a wait that ended otherwise the key is gone if this call has put it.
func (p *place) await(ctx context.Context) error {
	var err error
	if !p.alone {
		err = p.turn(ctx)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = p.s.check()
	}
	if err != nil && p.found == nil {
		err = withCleanup(err, p.leave())
	}
	return err
}

// turn waits until nothing is before the place. Its own key is looked at each time, so a session that is over does not get its
// turn, and watched, so it learns that at once.
func (p *place) turn(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var own etclite.WatchChan
	for {
		before, err := p.before(ctx)
		if err != nil || before == "" {
			return err
		}
		next := p.hdr.GetRevision() + 1
		if own == nil {
			own = p.s.client.Watch(ctx, p.key, etclite.WithRev(next), etclite.WithFilterPut())
		}
		lapsed, err := p.sleep(ctx, before, next, own)
		if err != nil {
			return err
		}
		if lapsed {
			own = nil
		}
	}
}

// before is the key that is directly before the place, empty if there is none.
func (p *place) before(ctx context.Context) (string, error) {
	last := append(etclite.WithLastCreate(), etclite.WithMaxCreateRev(p.rev-1), etclite.WithKeysOnly())
	own := etclite.OpGet(p.key, etclite.WithKeysOnly())
	resp, err := p.s.client.Txn(ctx).Then(etclite.OpGet(p.pfx, last...), own).Commit()
	if err != nil {
		return "", err
	}
	if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) == 0 || kvs[0].CreateRevision != p.rev {
		return "", p.s.loss()
	}
	p.hdr = resp.Header
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		return string(kvs[0].Key), nil
	}
	return "", nil
}

// sleep waits until there is a reason to look again. The first result tells that the watch of the own key has ended.
func (p *place) sleep(ctx context.Context, before string, next int64, own etclite.WatchChan) (bool, error) {
	cctx, cancel := context.WithCancel(ctx)
	defer cancel()
	gone := p.s.client.Watch(cctx, before, etclite.WithRev(next), etclite.WithFilterPut())
	select {
	case wr, ok := <-gone:
		_, err := p.heard(ctx, wr, ok)
		return false, err
	case wr, ok := <-own:
		return p.heard(ctx, wr, ok)
	case <-p.s.lost:
		return false, p.s.loss()
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// heard says what a response of a watch means: look again, or stop. A compaction that was faster than the watch is a reason to
// look, with another watch.
func (p *place) heard(ctx context.Context, wr etclite.WatchResponse, ok bool) (bool, error) {
	if !ok {
		return false, ended(ctx, p.s.client)
	}
	err := wr.Err()
	if errors.Is(err, rpctypes.ErrCompacted) {
		return true, nil
	}
	return false, err
}

// ended is why a channel of a watch was closed.
func ended(ctx context.Context, client *etclite.Client) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if client.Ctx().Err() != nil {
		return etclite.ErrClosed
	}
	return errors.New("etclite: the watch has ended")
}

// leave removes the key if it is still that of this place, whatever context has ended. A store that is closed or poisoned takes no
// writes, as its error has told already. One whose Config's context has ended takes none either, until it is closed: that is
// reported.
func (p *place) leave() error {
	_, err := release(context.WithoutCancel(p.s.client.Ctx()), p.s.client, p.key, p.rev)
	if errors.Is(err, etclite.ErrClosed) || errors.Is(err, rpctypes.ErrPoisoned) {
		return nil
	}
	return err
}

// release deletes a key if it was created at that revision; Succeeded tells whether it was.
func release(ctx context.Context, client *etclite.Client, key string, rev int64) (*etclite.TxnResponse, error) {
	return client.Txn(ctx).If(created(key, rev)).Then(etclite.OpDelete(key)).Commit()
}

// withCleanup adds to an error that what it left behind could not be removed either.
func withCleanup(err, cleanup error) error {
	if cleanup == nil {
		return err
	}
	return errors.Join(err, fmt.Errorf("etclite: what was to be removed stays until its lease ends: %w", cleanup))
}
