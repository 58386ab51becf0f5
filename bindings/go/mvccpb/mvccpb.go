// Package mvccpb holds what the store keeps and tells: keys with their values, and the events that change them. The types
// have the names and fields of etcd's package mvccpb, so that a program changes its import only.
package mvccpb

import (
	"strconv"

	"github.com/etclite/etclite/bindings/go/internal/prototext"
)

// A KeyValue is one version of a key, as of etcd's message of that name.
//
// The byte slices of one answer share one block of memory: who keeps a single key of a large answer for long should copy it.
type KeyValue struct {
	// Key is never empty.
	Key []byte `json:"key,omitempty"`
	// CreateRevision is the revision of the latest creation of the key.
	CreateRevision int64 `json:"create_revision,omitempty"`
	// ModRevision is the revision of this version.
	ModRevision int64 `json:"mod_revision,omitempty"`
	// Version counts the puts since the creation, which is 1; 0 in a deletion.
	Version int64 `json:"version,omitempty"`
	// Value is nil if it is empty.
	Value []byte `json:"value,omitempty"`
	// Lease is the lease that the key is attached to, 0 if none.
	Lease int64 `json:"lease,omitempty"`
}

// String is the text that etcd's client prints: key:"k" create_revision:2 and so on, without what is zero.
func (kv *KeyValue) String() string {
	if kv == nil {
		return "<nil>"
	}
	b := prototext.AppendBytes(nil, "key", kv.Key)
	b = prototext.AppendInt(b, "create_revision", kv.CreateRevision)
	b = prototext.AppendInt(b, "mod_revision", kv.ModRevision)
	b = prototext.AppendInt(b, "version", kv.Version)
	b = prototext.AppendBytes(b, "value", kv.Value)
	return string(prototext.AppendInt(b, "lease", kv.Lease))
}

// GetKey is Key, nil on a nil receiver.
func (kv *KeyValue) GetKey() []byte {
	if kv == nil {
		return nil
	}
	return kv.Key
}

// GetValue is Value, nil on a nil receiver.
func (kv *KeyValue) GetValue() []byte {
	if kv == nil {
		return nil
	}
	return kv.Value
}

// GetCreateRevision is CreateRevision, 0 on a nil receiver.
func (kv *KeyValue) GetCreateRevision() int64 {
	if kv == nil {
		return 0
	}
	return kv.CreateRevision
}

// GetModRevision is ModRevision, 0 on a nil receiver.
func (kv *KeyValue) GetModRevision() int64 {
	if kv == nil {
		return 0
	}
	return kv.ModRevision
}

// GetVersion is Version, 0 on a nil receiver.
func (kv *KeyValue) GetVersion() int64 {
	if kv == nil {
		return 0
	}
	return kv.Version
}

// GetLease is Lease, 0 on a nil receiver.
func (kv *KeyValue) GetLease() int64 {
	if kv == nil {
		return 0
	}
	return kv.Lease
}

// An Event_EventType says what an event did to its key.
type Event_EventType int32

// What events do. PUT and DELETE are the names of etcd 3.5 and older for the same.
const (
	Event_PUT    Event_EventType = 0
	Event_DELETE Event_EventType = 1

	PUT    = Event_PUT
	DELETE = Event_DELETE
)

// String is PUT or DELETE.
func (t Event_EventType) String() string {
	switch t {
	case Event_PUT:
		return "PUT"
	case Event_DELETE:
		return "DELETE"
	}
	return strconv.Itoa(int(t))
}

// An Event is one change of one key.
type Event struct {
	// Type is a put or a delete.
	Type Event_EventType `json:"type,omitempty"`
	// Kv is the key after the event. Of a delete it has the key and the deleting revision only.
	Kv *KeyValue `json:"kv,omitempty"`
	// PrevKv is the key before the event: nil unless it was asked for, if there was none, or if it is compacted.
	PrevKv *KeyValue `json:"prev_kv,omitempty"`
}

// IsCreate tells whether the event made the key: it was not there before.
func (e *Event) IsCreate() bool {
	return e.Type == Event_PUT && e.Kv.GetCreateRevision() == e.Kv.GetModRevision()
}

// IsModify tells whether the event put a key that was there before.
func (e *Event) IsModify() bool {
	return e.Type == Event_PUT && !e.IsCreate()
}

// String is the text that etcd's client prints: type:DELETE kv:<key:"k" mod_revision:3 > and so on. That it is a put is not said.
func (e *Event) String() string {
	if e == nil {
		return "<nil>"
	}
	var b []byte
	if e.Type != Event_PUT {
		b = prototext.AppendName(b, "type", e.Type.String())
	}
	if e.Kv != nil {
		b = prototext.AppendMessage(b, "kv", e.Kv.String())
	}
	if e.PrevKv != nil {
		b = prototext.AppendMessage(b, "prev_kv", e.PrevKv.String())
	}
	return string(b)
}

// GetType is Type, a put on a nil receiver.
func (e *Event) GetType() Event_EventType {
	if e == nil {
		return Event_PUT
	}
	return e.Type
}

// GetKv is Kv, nil on a nil receiver.
func (e *Event) GetKv() *KeyValue {
	if e == nil {
		return nil
	}
	return e.Kv
}

// GetPrevKv is PrevKv, nil on a nil receiver.
func (e *Event) GetPrevKv() *KeyValue {
	if e == nil {
		return nil
	}
	return e.PrevKv
}
