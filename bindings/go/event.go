package etclite

import (
	"context"
	"errors"

	"github.com/etclite/etclite/bindings/go/mvccpb"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// An Event is one change of one key. See mvccpb.Event for its fields and IsCreate and IsModify.
type Event = mvccpb.Event

// What an event did to its key.
const (
	EventTypePut    = mvccpb.Event_PUT
	EventTypeDelete = mvccpb.Event_DELETE
)

// A WatchChan brings the responses of one watch, in the order of their revisions, until it is closed.
type WatchChan <-chan WatchResponse

// A Watcher watches keys. A watch is a place in the history, not a queue: one that is read slowly costs no memory, loses nothing
// and holds up nobody; it ends only if a compaction passes what it has not read yet.
type Watcher interface {
	// Watch brings the events of a key, or of a range of keys, from now on, or from the revision given by WithRev. It is
	// registered on return: whatever is written afterwards is seen.
	//
	// The events of one revision are never split. Once the context ends, the channel is closed without a last response. If the
	// watch cannot go on, a last response tells why by its Err, with Canceled set, and CompactRevision if a compaction was the
	// reason; then the channel is closed.
	//
	// It panics on options that no watch has.
	Watch(ctx context.Context, key string, opts ...OpOption) WatchChan

	// RequestProgress makes each watch that has read all there is tell how far it has come, by a response for which
	// IsProgressNotify holds.
	RequestProgress(ctx context.Context) error

	// Close ends all watches.
	Close() error
}

// A WatchResponse is what a watch brings: the events of one or more revisions, or a notice.
type WatchResponse struct {
	// Header has the store's revision. To resume a watch, go on after the last event's revision, or after this one if
	// IsProgressNotify holds.
	Header *ResponseHeader
	// Events are in the order in which they happened.
	Events []*Event
	// CompactRevision is set if a compaction ended the watch: a watch from there on is complete.
	CompactRevision int64
	// Canceled is set in the last response of a watch that could not go on.
	Canceled bool
	// Created is set in the first response if WithCreatedNotify asked for it.
	Created bool
	// CancelReason says in words why the watch could not go on.
	CancelReason string

	closeErr error
}

// Err is why the watch could not go on, nil while it does.
func (wr *WatchResponse) Err() error {
	switch {
	case wr.closeErr != nil:
		return rpctypes.Error(wr.closeErr)
	case wr.CompactRevision != 0:
		return rpctypes.ErrCompacted
	case wr.Canceled && wr.CancelReason != "":
		return rpctypes.Error(errors.New(wr.CancelReason))
	case wr.Canceled:
		return rpctypes.ErrFutureRev
	}
	return nil
}

// IsProgressNotify tells whether the response only says how far the watch has come: everything up to the header's revision was
// delivered.
func (wr *WatchResponse) IsProgressNotify() bool {
	return len(wr.Events) == 0 && !wr.Canceled && !wr.Created && wr.CompactRevision == 0 && wr.Header.GetRevision() != 0
}
