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
	// Ready says why a call must not begin: its context has ended, or the store is over.
	Ready(ctx context.Context) error
	// Done is closed once the store is over: the client was closed, or the context of its Config has ended. Close waits for
	// the watches, so whoever waits for anything else must wait for this, too, and then close his watch.
	Done() <-chan struct{}
	// Watch registers a watch from a WatchCreateRequest: whatever is written after it returns is told. The second result is
	// 0 but for a start that is compacted: then it is the first revision that is not. The watch must be closed.
	Watch(request []byte) (Watch, int64, error)
	// Revision is the store's, 0 once it is closed.
	Revision() int64
	// IDs are those of the cluster and of the member, and the term.
	IDs() (cluster, member, term uint64)
	// DB is the store's handle.
	DB() capi.DB
}

// A Watch is a place in the history of a range of keys. One goroutine at a time may call Next or Progress.
type Watch interface {
	// Next is the next WatchResponse, nil if there is none now. It never blocks. The second result is as Store.Watch has
	// it. The error is io.EOF once a store that is open for reading has told all it holds, and that of Store.Ready once
	// the store is over.
	Next() ([]byte, int64, error)
	// Notice holds a token once Next may have something again after it had nothing.
	Notice() <-chan struct{}
	// Progress is the revision up to which Next has returned everything.
	Progress() int64
	// Close ends the watch.
	Close()
}

// Of is the store of a client. Package etclite sets it.
var Of func(client any) Store
