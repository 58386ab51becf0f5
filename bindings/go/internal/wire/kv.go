package wire

import "github.com/etclite/etclite/bindings/go/mvccpb"

// A RangeRequest asks for the keys of a range.
type RangeRequest struct {
	Key               []byte `json:"key,omitempty"`
	RangeEnd          []byte `json:"range_end,omitempty"`
	Limit             int64  `json:"limit,omitempty"`
	Revision          int64  `json:"revision,omitempty"`
	SortOrder         int32  `json:"sort_order,omitempty"`
	SortTarget        int32  `json:"sort_target,omitempty"`
	Serializable      bool   `json:"serializable,omitempty"`
	KeysOnly          bool   `json:"keys_only,omitempty"`
	CountOnly         bool   `json:"count_only,omitempty"`
	MinModRevision    int64  `json:"min_mod_revision,omitempty"`
	MaxModRevision    int64  `json:"max_mod_revision,omitempty"`
	MinCreateRevision int64  `json:"min_create_revision,omitempty"`
	MaxCreateRevision int64  `json:"max_create_revision,omitempty"`
}

// Append encodes the message behind b.
func (m *RangeRequest) Append(b []byte) []byte {
	b = appendBytes(b, 1, m.Key)
	b = appendBytes(b, 2, m.RangeEnd)
	b = appendInt(b, 3, m.Limit)
	b = appendInt(b, 4, m.Revision)
	b = appendInt(b, 5, int64(m.SortOrder))
	b = appendInt(b, 6, int64(m.SortTarget))
	b = appendBool(b, 7, m.Serializable)
	b = appendBool(b, 8, m.KeysOnly)
	b = appendBool(b, 9, m.CountOnly)
	b = appendInt(b, 10, m.MinModRevision)
	b = appendInt(b, 11, m.MaxModRevision)
	b = appendInt(b, 12, m.MinCreateRevision)
	return appendInt(b, 13, m.MaxCreateRevision)
}

// Decode reads the message into a zero one.
func (m *RangeRequest) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			m.Key = r.bytes()
		case 2:
			m.RangeEnd = r.bytes()
		case 3:
			m.Limit = r.int()
		case 4:
			m.Revision = r.int()
		case 5:
			m.SortOrder = r.int32()
		case 6:
			m.SortTarget = r.int32()
		case 7:
			m.Serializable = r.bool()
		case 8:
			m.KeysOnly = r.bool()
		case 9:
			m.CountOnly = r.bool()
		case 10:
			m.MinModRevision = r.int()
		case 11:
			m.MaxModRevision = r.int()
		case 12:
			m.MinCreateRevision = r.int()
		case 13:
			m.MaxCreateRevision = r.int()
		default:
			r.skip()
		}
	}
	return r.err
}

// A RangeResponse answers a RangeRequest.
type RangeResponse struct {
	Header *ResponseHeader    `json:"header,omitempty"`
	Kvs    []*mvccpb.KeyValue `json:"kvs,omitempty"`
	More   bool               `json:"more,omitempty"`
	Count  int64              `json:"count,omitempty"`
}

// Append encodes the message behind b.
func (m *RangeResponse) Append(b []byte) []byte {
	b = appendHeader(b, m.Header)
	for _, kv := range m.Kvs {
		b = appendKeyValue(b, 2, kv)
	}
	b = appendBool(b, 3, m.More)
	return appendInt(b, 4, m.Count)
}

// Decode reads the message into a zero one.
func (m *RangeResponse) Decode(b []byte) error {
	r := reader{rest: b}
	block := kvBlock{}
	for r.next() {
		switch r.field {
		case 1:
			sub(&r, &m.Header)
		case 2:
			block.add(&r, b, 2)
		case 3:
			m.More = r.bool()
		case 4:
			m.Count = r.int()
		default:
			r.skip()
		}
	}
	m.Kvs = block.out
	return r.err
}

// A PutRequest asks for a key to be put.
type PutRequest struct {
	Key         []byte `json:"key,omitempty"`
	Value       []byte `json:"value,omitempty"`
	Lease       int64  `json:"lease,omitempty"`
	PrevKv      bool   `json:"prev_kv,omitempty"`
	IgnoreValue bool   `json:"ignore_value,omitempty"`
	IgnoreLease bool   `json:"ignore_lease,omitempty"`
}

// Append encodes the message behind b.
func (m *PutRequest) Append(b []byte) []byte {
	b = appendBytes(b, 1, m.Key)
	b = appendBytes(b, 2, m.Value)
	b = appendInt(b, 3, m.Lease)
	b = appendBool(b, 4, m.PrevKv)
	b = appendBool(b, 5, m.IgnoreValue)
	return appendBool(b, 6, m.IgnoreLease)
}

// Decode reads the message into a zero one.
func (m *PutRequest) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			m.Key = r.bytes()
		case 2:
			m.Value = r.bytes()
		case 3:
			m.Lease = r.int()
		case 4:
			m.PrevKv = r.bool()
		case 5:
			m.IgnoreValue = r.bool()
		case 6:
			m.IgnoreLease = r.bool()
		default:
			r.skip()
		}
	}
	return r.err
}

// A PutResponse answers a PutRequest.
type PutResponse struct {
	Header *ResponseHeader  `json:"header,omitempty"`
	PrevKv *mvccpb.KeyValue `json:"prev_kv,omitempty"`
}

// Append encodes the message behind b.
func (m *PutResponse) Append(b []byte) []byte {
	b = appendHeader(b, m.Header)
	return appendKeyValue(b, 2, m.PrevKv)
}

// Decode reads the message into a zero one.
func (m *PutResponse) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			sub(&r, &m.Header)
		case 2:
			subKeyValue(&r, &m.PrevKv)
		default:
			r.skip()
		}
	}
	return r.err
}

// A DeleteRangeRequest asks for the keys of a range to be deleted.
type DeleteRangeRequest struct {
	Key      []byte `json:"key,omitempty"`
	RangeEnd []byte `json:"range_end,omitempty"`
	PrevKv   bool   `json:"prev_kv,omitempty"`
}

// Append encodes the message behind b.
func (m *DeleteRangeRequest) Append(b []byte) []byte {
	b = appendBytes(b, 1, m.Key)
	b = appendBytes(b, 2, m.RangeEnd)
	return appendBool(b, 3, m.PrevKv)
}

// Decode reads the message into a zero one.
func (m *DeleteRangeRequest) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			m.Key = r.bytes()
		case 2:
			m.RangeEnd = r.bytes()
		case 3:
			m.PrevKv = r.bool()
		default:
			r.skip()
		}
	}
	return r.err
}

// A DeleteRangeResponse answers a DeleteRangeRequest.
type DeleteRangeResponse struct {
	Header  *ResponseHeader    `json:"header,omitempty"`
	Deleted int64              `json:"deleted,omitempty"`
	PrevKvs []*mvccpb.KeyValue `json:"prev_kvs,omitempty"`
}

// Append encodes the message behind b.
func (m *DeleteRangeResponse) Append(b []byte) []byte {
	b = appendHeader(b, m.Header)
	b = appendInt(b, 2, m.Deleted)
	for _, kv := range m.PrevKvs {
		b = appendKeyValue(b, 3, kv)
	}
	return b
}

// Decode reads the message into a zero one.
func (m *DeleteRangeResponse) Decode(b []byte) error {
	r := reader{rest: b}
	block := kvBlock{}
	for r.next() {
		switch r.field {
		case 1:
			sub(&r, &m.Header)
		case 2:
			m.Deleted = r.int()
		case 3:
			block.add(&r, b, 3)
		default:
			r.skip()
		}
	}
	m.PrevKvs = block.out
	return r.err
}

// A CompactionRequest asks for the history below a revision to be dropped.
type CompactionRequest struct {
	Revision int64 `json:"revision,omitempty"`
	Physical bool  `json:"physical,omitempty"`
}

// Append encodes the message behind b.
func (m *CompactionRequest) Append(b []byte) []byte {
	b = appendInt(b, 1, m.Revision)
	return appendBool(b, 2, m.Physical)
}

// Decode reads the message into a zero one.
func (m *CompactionRequest) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			m.Revision = r.int()
		case 2:
			m.Physical = r.bool()
		default:
			r.skip()
		}
	}
	return r.err
}

// A CompactionResponse answers a CompactionRequest.
type CompactionResponse struct {
	Header *ResponseHeader `json:"header,omitempty"`
}

// Append encodes the message behind b.
func (m *CompactionResponse) Append(b []byte) []byte {
	return appendHeader(b, m.Header)
}

// Decode reads the message into a zero one.
func (m *CompactionResponse) Decode(b []byte) error {
	return decodeHeaderOnly(b, &m.Header)
}

// decodeHeaderOnly reads the answers that consist of a header.
func decodeHeaderOnly(b []byte, header **ResponseHeader) error {
	r := reader{rest: b}
	for r.next() {
		if r.field == 1 {
			sub(&r, header)
		} else {
			r.skip()
		}
	}
	return r.err
}
