package wire

import (
	"encoding/binary"

	"github.com/etclite/etclite/bindings/go/mvccpb"
)

// What a WatchCreateRequest may filter.
const (
	FilterNoPut    = 0
	FilterNoDelete = 1
)

// A WatchCreateRequest asks for the events of a range.
type WatchCreateRequest struct {
	Key            []byte  `json:"key,omitempty"`
	RangeEnd       []byte  `json:"range_end,omitempty"`
	StartRevision  int64   `json:"start_revision,omitempty"`
	ProgressNotify bool    `json:"progress_notify,omitempty"`
	Filters        []int32 `json:"filters,omitempty"`
	PrevKv         bool    `json:"prev_kv,omitempty"`
	WatchId        int64   `json:"watch_id,omitempty"`
	Fragment       bool    `json:"fragment,omitempty"`
}

// Append encodes the message behind b.
func (m *WatchCreateRequest) Append(b []byte) []byte {
	b = appendBytes(b, 1, m.Key)
	b = appendBytes(b, 2, m.RangeEnd)
	b = appendInt(b, 3, m.StartRevision)
	b = appendBool(b, 4, m.ProgressNotify)
	if len(m.Filters) > 0 {
		var start int
		b, start = Open(b, 5)
		for _, filter := range m.Filters {
			b = binary.AppendUvarint(b, uint64(int64(filter)))
		}
		b = Close(b, start)
	}
	b = appendBool(b, 6, m.PrevKv)
	b = appendInt(b, 7, m.WatchId)
	return appendBool(b, 8, m.Fragment)
}

// Decode reads the message into a zero one.
func (m *WatchCreateRequest) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			m.Key = r.bytes()
		case 2:
			m.RangeEnd = r.bytes()
		case 3:
			m.StartRevision = r.int()
		case 4:
			m.ProgressNotify = r.bool()
		case 5:
			m.Filters = r.int32s(m.Filters)
		case 6:
			m.PrevKv = r.bool()
		case 7:
			m.WatchId = r.int()
		case 8:
			m.Fragment = r.bool()
		default:
			r.skip()
		}
	}
	return r.err
}

// int32s reads a field of a repeated one, whether packed or not.
func (r *reader) int32s(to []int32) []int32 {
	if r.kind == kindVarint {
		return append(to, r.int32())
	}
	packed := reader{rest: r.bytes(), err: r.err}
	for packed.err == nil && len(packed.rest) > 0 {
		to = append(to, int32(packed.varint()))
	}
	r.err = packed.err
	return to
}

// A WatchResponse brings the events of a watch.
type WatchResponse struct {
	Header          *ResponseHeader `json:"header,omitempty"`
	WatchId         int64           `json:"watch_id,omitempty"`
	Created         bool            `json:"created,omitempty"`
	Canceled        bool            `json:"canceled,omitempty"`
	CompactRevision int64           `json:"compact_revision,omitempty"`
	CancelReason    string          `json:"cancel_reason,omitempty"`
	Fragment        bool            `json:"fragment,omitempty"`
	Events          []*mvccpb.Event `json:"events,omitempty"`
}

// Append encodes the message behind b.
func (m *WatchResponse) Append(b []byte) []byte {
	b = appendHeader(b, m.Header)
	b = appendInt(b, 2, m.WatchId)
	b = appendBool(b, 3, m.Created)
	b = appendBool(b, 4, m.Canceled)
	b = appendInt(b, 5, m.CompactRevision)
	b = appendBytes(b, 6, m.CancelReason)
	b = appendBool(b, 7, m.Fragment)
	start := 0
	for _, event := range m.Events {
		b, start = Open(b, 11)
		b = appendInt(b, 1, int64(event.Type))
		b = appendKeyValue(b, 2, event.Kv)
		b = appendKeyValue(b, 3, event.PrevKv)
		b = Close(b, start)
	}
	return b
}

// Decode reads the message into a zero one.
func (m *WatchResponse) Decode(b []byte) error {
	r := reader{rest: b}
	var events []mvccpb.Event
	for r.next() {
		switch r.field {
		case 1:
			sub(&r, &m.Header)
		case 2:
			m.WatchId = r.int()
		case 3:
			m.Created = r.bool()
		case 4:
			m.Canceled = r.bool()
		case 5:
			m.CompactRevision = r.int()
		case 6:
			m.CancelReason = r.text()
		case 7:
			m.Fragment = r.bool()
		case 11:
			if events == nil {
				n := count(b, 11)
				events, m.Events = make([]mvccpb.Event, n), make([]*mvccpb.Event, 0, n)
			}
			decodeEvent(&r, &events[len(m.Events)])
			m.Events = append(m.Events, &events[len(m.Events)])
		default:
			r.skip()
		}
	}
	return r.err
}

func decodeEvent(r *reader, event *mvccpb.Event) {
	fields := reader{rest: r.bytes(), err: r.err}
	for fields.next() {
		switch fields.field {
		case 1:
			event.Type = mvccpb.Event_EventType(fields.int32())
		case 2:
			subKeyValue(&fields, &event.Kv)
		case 3:
			subKeyValue(&fields, &event.PrevKv)
		default:
			fields.skip()
		}
	}
	r.err = fields.err
}
