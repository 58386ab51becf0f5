package wire

// A StatusResponse says how the store is; the request is empty.
type StatusResponse struct {
	Header           *ResponseHeader `json:"header,omitempty"`
	Version          string          `json:"version,omitempty"`
	DbSize           int64           `json:"dbSize,omitempty"`
	Leader           uint64          `json:"leader,omitempty"`
	RaftIndex        uint64          `json:"raftIndex,omitempty"`
	RaftTerm         uint64          `json:"raftTerm,omitempty"`
	RaftAppliedIndex uint64          `json:"raftAppliedIndex,omitempty"`
	Errors           []string        `json:"errors,omitempty"`
	DbSizeInUse      int64           `json:"dbSizeInUse,omitempty"`
	IsLearner        bool            `json:"isLearner,omitempty"`
	StorageVersion   string          `json:"storageVersion,omitempty"`
	DbSizeQuota      int64           `json:"dbSizeQuota,omitempty"`
}

// Append encodes the message behind b.
func (m *StatusResponse) Append(b []byte) []byte {
	b = appendHeader(b, m.Header)
	b = appendBytes(b, 2, m.Version)
	b = appendInt(b, 3, m.DbSize)
	b = appendUint(b, 4, m.Leader)
	b = appendUint(b, 5, m.RaftIndex)
	b = appendUint(b, 6, m.RaftTerm)
	b = appendUint(b, 7, m.RaftAppliedIndex)
	for _, text := range m.Errors {
		b = appendPresent(b, 8, text)
	}
	b = appendInt(b, 9, m.DbSizeInUse)
	b = appendBool(b, 10, m.IsLearner)
	b = appendBytes(b, 11, m.StorageVersion)
	return appendInt(b, 12, m.DbSizeQuota)
}

// Decode reads the message into a zero one.
func (m *StatusResponse) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			sub(&r, &m.Header)
		case 2:
			m.Version = r.text()
		case 3:
			m.DbSize = r.int()
		case 4:
			m.Leader = r.uint()
		case 5:
			m.RaftIndex = r.uint()
		case 6:
			m.RaftTerm = r.uint()
		case 7:
			m.RaftAppliedIndex = r.uint()
		case 8:
			m.Errors = append(m.Errors, r.text())
		case 9:
			m.DbSizeInUse = r.int()
		case 10:
			m.IsLearner = r.bool()
		case 11:
			m.StorageVersion = r.text()
		case 12:
			m.DbSizeQuota = r.int()
		default:
			r.skip()
		}
	}
	return r.err
}

// A HashKVRequest asks for the hash of all keys up to a revision, 0 being the latest.
type HashKVRequest struct {
	Revision int64 `json:"revision,omitempty"`
}

// Append encodes the message behind b.
func (m *HashKVRequest) Append(b []byte) []byte {
	return appendInt(b, 1, m.Revision)
}

// Decode reads the message into a zero one.
func (m *HashKVRequest) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		if r.field == 1 {
			m.Revision = r.int()
		} else {
			r.skip()
		}
	}
	return r.err
}

// A HashKVResponse answers a HashKVRequest.
type HashKVResponse struct {
	Header          *ResponseHeader `json:"header,omitempty"`
	Hash            uint32          `json:"hash,omitempty"`
	CompactRevision int64           `json:"compact_revision,omitempty"`
	HashRevision    int64           `json:"hash_revision,omitempty"`
}

// Append encodes the message behind b.
func (m *HashKVResponse) Append(b []byte) []byte {
	b = appendHeader(b, m.Header)
	b = appendUint(b, 2, uint64(m.Hash))
	b = appendInt(b, 3, m.CompactRevision)
	return appendInt(b, 4, m.HashRevision)
}

// Decode reads the message into a zero one.
func (m *HashKVResponse) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			sub(&r, &m.Header)
		case 2:
			m.Hash = uint32(r.uint())
		case 3:
			m.CompactRevision = r.int()
		case 4:
			m.HashRevision = r.int()
		default:
			r.skip()
		}
	}
	return r.err
}
