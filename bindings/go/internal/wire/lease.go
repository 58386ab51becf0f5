package wire

// A LeaseGrantRequest asks for a lease of TTL seconds; ID 0 lets the store choose one.
type LeaseGrantRequest struct {
	TTL int64 `json:"TTL,omitempty"`
	ID  int64 `json:"ID,omitempty"`
}

// Append encodes the message behind b.
func (m *LeaseGrantRequest) Append(b []byte) []byte {
	return appendInt(appendInt(b, 1, m.TTL), 2, m.ID)
}

// Decode reads the message into a zero one.
func (m *LeaseGrantRequest) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			m.TTL = r.int()
		case 2:
			m.ID = r.int()
		default:
			r.skip()
		}
	}
	return r.err
}

// A LeaseGrantResponse answers a LeaseGrantRequest with what was granted.
type LeaseGrantResponse struct {
	Header *ResponseHeader `json:"header,omitempty"`
	ID     int64           `json:"ID,omitempty"`
	TTL    int64           `json:"TTL,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// Append encodes the message behind b.
func (m *LeaseGrantResponse) Append(b []byte) []byte {
	b = appendHeader(b, m.Header)
	b = appendInt(b, 2, m.ID)
	b = appendInt(b, 3, m.TTL)
	return appendBytes(b, 4, m.Error)
}

// Decode reads the message into a zero one.
func (m *LeaseGrantResponse) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			sub(&r, &m.Header)
		case 2:
			m.ID = r.int()
		case 3:
			m.TTL = r.int()
		case 4:
			m.Error = r.text()
		default:
			r.skip()
		}
	}
	return r.err
}

// A LeaseID is what the requests LeaseRevoke and LeaseKeepAlive consist of.
type LeaseID struct {
	ID int64 `json:"ID,omitempty"`
}

// Append encodes the message behind b.
func (m *LeaseID) Append(b []byte) []byte {
	return appendInt(b, 1, m.ID)
}

// Decode reads the message into a zero one.
func (m *LeaseID) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		if r.field == 1 {
			m.ID = r.int()
		} else {
			r.skip()
		}
	}
	return r.err
}

// These have the same fields.
type (
	// A LeaseRevokeRequest asks for a lease to be ended.
	LeaseRevokeRequest = LeaseID
	// A LeaseKeepAliveRequest asks for a lease to be renewed.
	LeaseKeepAliveRequest = LeaseID
	// A LeaseStatus is a lease in a list of leases.
	LeaseStatus = LeaseID
)

// A LeaseRevokeResponse answers a LeaseRevokeRequest.
type LeaseRevokeResponse struct {
	Header *ResponseHeader `json:"header,omitempty"`
}

// Append encodes the message behind b.
func (m *LeaseRevokeResponse) Append(b []byte) []byte {
	return appendHeader(b, m.Header)
}

// Decode reads the message into a zero one.
func (m *LeaseRevokeResponse) Decode(b []byte) error {
	return decodeHeaderOnly(b, &m.Header)
}

// A LeaseKeepAliveResponse answers a LeaseKeepAliveRequest; TTL 0 says that the lease is gone.
type LeaseKeepAliveResponse struct {
	Header *ResponseHeader `json:"header,omitempty"`
	ID     int64           `json:"ID,omitempty"`
	TTL    int64           `json:"TTL,omitempty"`
}

// Append encodes the message behind b.
func (m *LeaseKeepAliveResponse) Append(b []byte) []byte {
	b = appendHeader(b, m.Header)
	b = appendInt(b, 2, m.ID)
	return appendInt(b, 3, m.TTL)
}

// Decode reads the message into a zero one.
func (m *LeaseKeepAliveResponse) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			sub(&r, &m.Header)
		case 2:
			m.ID = r.int()
		case 3:
			m.TTL = r.int()
		default:
			r.skip()
		}
	}
	return r.err
}

// A LeaseKeepAliveMsResponse is etclitepb's LeaseKeepAliveResponse, which answers a LeaseKeepAliveRequest to the millisecond. A
// lease that is gone is an error.
type LeaseKeepAliveMsResponse struct {
	Header *ResponseHeader `json:"header,omitempty"`
	ID     int64           `json:"id,omitempty"`
	TTLMs  int64           `json:"ttl_ms,omitempty"`
}

// Append encodes the message behind b.
func (m *LeaseKeepAliveMsResponse) Append(b []byte) []byte {
	b = appendHeader(b, m.Header)
	b = appendInt(b, 2, m.ID)
	return appendInt(b, 3, m.TTLMs)
}

// Decode reads the message into a zero one.
func (m *LeaseKeepAliveMsResponse) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			sub(&r, &m.Header)
		case 2:
			m.ID = r.int()
		case 3:
			m.TTLMs = r.int()
		default:
			r.skip()
		}
	}
	return r.err
}

// A LeaseTimeToLiveRequest asks for the time that a lease has left, and for its keys.
type LeaseTimeToLiveRequest struct {
	ID   int64 `json:"ID,omitempty"`
	Keys bool  `json:"keys,omitempty"`
}

// Append encodes the message behind b.
func (m *LeaseTimeToLiveRequest) Append(b []byte) []byte {
	return appendBool(appendInt(b, 1, m.ID), 2, m.Keys)
}

// Decode reads the message into a zero one.
func (m *LeaseTimeToLiveRequest) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			m.ID = r.int()
		case 2:
			m.Keys = r.bool()
		default:
			r.skip()
		}
	}
	return r.err
}

// A LeaseTimeToLiveResponse answers a LeaseTimeToLiveRequest; TTL -1 says that there is no such lease.
type LeaseTimeToLiveResponse struct {
	Header     *ResponseHeader `json:"header,omitempty"`
	ID         int64           `json:"ID,omitempty"`
	TTL        int64           `json:"TTL,omitempty"`
	GrantedTTL int64           `json:"grantedTTL,omitempty"`
	Keys       [][]byte        `json:"keys,omitempty"`
}

// Append encodes the message behind b.
func (m *LeaseTimeToLiveResponse) Append(b []byte) []byte {
	b = appendHeader(b, m.Header)
	b = appendInt(b, 2, m.ID)
	b = appendInt(b, 3, m.TTL)
	b = appendInt(b, 4, m.GrantedTTL)
	for _, key := range m.Keys {
		b = appendPresent(b, 5, key)
	}
	return b
}

// Decode reads the message into a zero one.
func (m *LeaseTimeToLiveResponse) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			sub(&r, &m.Header)
		case 2:
			m.ID = r.int()
		case 3:
			m.TTL = r.int()
		case 4:
			m.GrantedTTL = r.int()
		case 5:
			m.Keys = append(m.Keys, r.bytes())
		default:
			r.skip()
		}
	}
	return r.err
}

// A LeaseLeasesResponse answers the request for the list of leases, which is empty.
type LeaseLeasesResponse struct {
	Header *ResponseHeader `json:"header,omitempty"`
	Leases []LeaseStatus   `json:"leases,omitempty"`
}

// Append encodes the message behind b.
func (m *LeaseLeasesResponse) Append(b []byte) []byte {
	b = appendHeader(b, m.Header)
	start := 0
	for i := range m.Leases {
		b, start = Open(b, 2)
		b = Close(m.Leases[i].Append(b), start)
	}
	return b
}

// Decode reads the message into a zero one.
func (m *LeaseLeasesResponse) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			sub(&r, &m.Header)
		case 2:
			if lease := r.bytes(); r.err == nil {
				m.Leases = append(m.Leases, LeaseStatus{})
				r.err = m.Leases[len(m.Leases)-1].Decode(lease)
			}
		default:
			r.skip()
		}
	}
	return r.err
}
