package etcdv3

import "context"

// store is what the services need of an open store.
type store interface {
	// Read makes a call that changes nothing, Write one that may.
	Read(ctx context.Context, op uint32, request []byte) ([]byte, error)
	Write(ctx context.Context, op uint32, request []byte) ([]byte, error)
	// Watch registers a watch, from an etcdserverpb.WatchCreateRequest.
	Watch(request []byte) (watch, error)
	Revision() int64
	// IDs are those of the cluster and of the member.
	IDs() (cluster, member uint64)
	Close() error
}

// watch is a place in history, and who waits there.
type watch interface {
	// Next is the next etcdserverpb.WatchResponse, nil if there is none now. It never blocks.
	Next() ([]byte, error)
	// Wait returns nil once there may be something, or the context's error.
	Wait(ctx context.Context) error
	// Progress is the revision up to which Next has returned everything.
	Progress() int64
	// Close ends the watch, and everything that waits for it.
	Close()
}
