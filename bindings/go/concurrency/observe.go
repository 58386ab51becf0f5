package concurrency

import (
	"context"
	"errors"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/mvccpb"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// Observe brings the proposals of the leaders, each as the only one of Kvs, from the present one on and in order. Some may be left
// out, but never the latest. The channel is closed when the context ends, or the client.
func (e *Election) Observe(ctx context.Context) <-chan *etclite.GetResponse {
	o := &observer{client: e.session.client, pfx: e.keyPrefix, out: make(chan *etclite.GetResponse)}
	go o.run(ctx)
	return o.out
}

type observer struct {
	client *etclite.Client
	pfx    string
	out    chan *etclite.GetResponse
	// The revision of the latest proposal that was told, so that it is not told twice.
	told int64
}

func (o *observer) run(ctx context.Context) {
	defer close(o.out)
	for {
		resp, err := o.client.Get(ctx, o.pfx, etclite.WithFirstCreate()...)
		if err != nil {
			return
		}
		next := resp.Header.GetRevision() + 1
		if len(resp.Kvs) == 0 {
			// Until somebody stands.
			err = o.follow(ctx, o.pfx, next, etclite.WithPrefix(), etclite.WithFilterDelete())
		} else if err = o.tell(ctx, resp.Header, resp.Kvs[0]); err == nil {
			err = o.follow(ctx, string(resp.Kvs[0].Key), next)
		}
		if err != nil {
			return
		}
	}
}

// follow watches a leader's key and tells its proposals, until it is deleted; or the whole prefix, until there is a key. It
// returns nil if one has to look who leads.
func (o *observer) follow(ctx context.Context, key string, rev int64, opts ...etclite.OpOption) error {
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	anybody := len(opts) > 0
	for wr := range o.client.Watch(wctx, key, append(opts, etclite.WithRev(rev))...) {
		if err := wr.Err(); errors.Is(err, rpctypes.ErrCompacted) {
			return nil
		} else if err != nil {
			return err
		}
		for _, event := range wr.Events {
			if anybody || event.Type == etclite.EventTypeDelete {
				return nil
			}
			if err := o.tell(ctx, wr.Header, event.Kv); err != nil {
				return err
			}
		}
	}
	return ended(ctx, o.client)
}

func (o *observer) tell(ctx context.Context, header *etclite.ResponseHeader, kv *mvccpb.KeyValue) error {
	if kv.ModRevision <= o.told {
		return nil
	}
	select {
	case o.out <- &etclite.GetResponse{Header: header, Kvs: []*mvccpb.KeyValue{kv}, Count: 1}:
		o.told = kv.ModRevision
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
