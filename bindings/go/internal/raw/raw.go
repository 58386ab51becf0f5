// Package raw is a client below its types: messages of package wire, as bytes, for module etcdv3, which has etcd's types on
// top. It shares the client's batches of writes and its pump.
package raw

import (
	"context"

	"github.com/etclite/etclite/bindings/go/internal/capi"
)

// A Store is an open store.
type Store interface {
	// Read makes a call that changes nothing, Write one that may, of the kind that op says.
	Read(ctx context.Context, op uint32, request []byte) ([]byte, error)
	Write(ctx context.Context, op uint32, request []byte) ([]byte, error)
	// Watch registers a watch from a WatchCreateRequest: whatever is written after it returns is told. The second result is
	// 0 but for a start that is compacted: then it is the first revision that is not. The watch must be closed.
	Watch(request []byte) (Watch, int64, error)
	// Revision is the store's, 0 once it is closed.
	Revision() int64
	// IDs are those of the cluster and of the member, and the term.
	IDs() (cluster, member, term uint64)
	// DB is the store's handle.
	DB() capi.DB
	// Close is the client's.
	Close() error
}

// A Watch is a place in the history of a range of keys. One goroutine at a time may call Next and Wait.
type Watch interface {
	// Next is the next WatchResponse, nil if there is none now. It never blocks. The second result is as Store.Watch has
	// it. The error is io.EOF once a store that is open for reading has told all it holds.
	Next() ([]byte, int64, error)
	// Wait returns nil once Next may have something, or the context's error.
	Wait(ctx context.Context) error
	// Progress is the revision up to which Next has returned everything.
	Progress() int64
	// Close ends the watch.
	Close()
}

// Of is the store of a client. Package etclite sets it.
var Of func(client any) Store
