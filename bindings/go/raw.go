package etclite

import (
	"context"

	"github.com/etclite/etclite/bindings/go/internal/capi"
	"github.com/etclite/etclite/bindings/go/internal/raw"
)

func init() {
	raw.Of = func(client any) raw.Store { return rawStore{client.(*Client)} }
}

// rawStore is a client for module etcdv3.
type rawStore struct {
	client *Client
}

func (s rawStore) Read(ctx context.Context, op uint32, request []byte) ([]byte, error) {
	return s.client.read(ctx, op, request)
}

func (s rawStore) Write(ctx context.Context, op uint32, request []byte) ([]byte, error) {
	return s.client.write(ctx, op, request)
}

func (s rawStore) Ready(ctx context.Context) error { return s.client.ready(ctx) }

func (s rawStore) Done() <-chan struct{} { return s.client.ctx.Done() }

func (s rawStore) Watch(request []byte) (raw.Watch, int64, error) {
	if !s.client.enter() {
		return nil, 0, ErrClosed
	}
	w := &rawWatch{client: s.client}
	compacted, err := w.register(s.client, request)
	if err != nil {
		w.Close()
		return nil, compacted, s.client.told(err)
	}
	return w, 0, nil
}

func (s rawStore) Revision() int64 {
	revision, err := s.client.db.Revision()
	if err != nil {
		return 0
	}
	return revision
}

func (s rawStore) IDs() (cluster, member, term uint64) {
	return s.client.clusterID, s.client.memberID, s.client.raftTerm
}

func (s rawStore) DB() capi.DB { return s.client.db }

// rawWatch is a watch without a goroutine: its owner calls Next until there is nothing, and then waits for a notice.
type rawWatch struct {
	client *Client
	position
}

func (w *rawWatch) Next() ([]byte, int64, error) {
	if err := w.client.ready(context.Background()); err != nil {
		return nil, 0, err
	}
	reply, compacted, err := w.handle.Next(watchBytesMax)
	return reply, compacted, w.client.told(err)
}

func (w *rawWatch) Notice() <-chan struct{} { return w.notice }

func (w *rawWatch) Progress() int64 {
	revision, err := w.handle.Progress()
	if err != nil {
		return 0
	}
	return revision
}

// Close is what the client's Close waits for.
func (w *rawWatch) Close() {
	w.free()
	w.client.leave()
}
