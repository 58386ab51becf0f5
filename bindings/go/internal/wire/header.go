package wire

import (
	"github.com/etclite/etclite/bindings/go/internal/prototext"
	"github.com/etclite/etclite/bindings/go/mvccpb"
)

// A ResponseHeader says who answered, and at which revision.
type ResponseHeader struct {
	// ClusterId is the store's identity, made at its creation and kept for ever.
	ClusterId uint64 `json:"cluster_id,omitempty"`
	// MemberId is the identity of the member that answered; of a store without a group it is that of its only one.
	MemberId uint64 `json:"member_id,omitempty"`
	// Revision is the store's revision when the request was applied, also in an answer about an earlier one.
	Revision int64 `json:"revision,omitempty"`
	// RaftTerm is 1 in a store without a group. It never falls.
	RaftTerm uint64 `json:"raft_term,omitempty"`
}

// String is the text that etcd's client prints: cluster_id:5 member_id:2 and so on, without what is zero.
func (m *ResponseHeader) String() string {
	if m == nil {
		return "<nil>"
	}
	b := prototext.AppendUint(nil, "cluster_id", m.ClusterId)
	b = prototext.AppendUint(b, "member_id", m.MemberId)
	b = prototext.AppendInt(b, "revision", m.Revision)
	return string(prototext.AppendUint(b, "raft_term", m.RaftTerm))
}

// GetClusterId is ClusterId, 0 on a nil receiver.
func (m *ResponseHeader) GetClusterId() uint64 {
	if m == nil {
		return 0
	}
	return m.ClusterId
}

// GetMemberId is MemberId, 0 on a nil receiver.
func (m *ResponseHeader) GetMemberId() uint64 {
	if m == nil {
		return 0
	}
	return m.MemberId
}

// GetRevision is Revision, 0 on a nil receiver.
func (m *ResponseHeader) GetRevision() int64 {
	if m == nil {
		return 0
	}
	return m.Revision
}

// GetRaftTerm is RaftTerm, 0 on a nil receiver.
func (m *ResponseHeader) GetRaftTerm() uint64 {
	if m == nil {
		return 0
	}
	return m.RaftTerm
}

// Append encodes the message behind b.
func (m *ResponseHeader) Append(b []byte) []byte {
	b = appendUint(b, 1, m.ClusterId)
	b = appendUint(b, 2, m.MemberId)
	b = appendInt(b, 3, m.Revision)
	return appendUint(b, 4, m.RaftTerm)
}

// Decode reads the message into a zero one.
func (m *ResponseHeader) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			m.ClusterId = r.uint()
		case 2:
			m.MemberId = r.uint()
		case 3:
			m.Revision = r.int()
		case 4:
			m.RaftTerm = r.uint()
		default:
			r.skip()
		}
	}
	return r.err
}

func appendHeader(b []byte, m *ResponseHeader) []byte {
	if m == nil {
		return b
	}
	b, start := Open(b, 1)
	return Close(m.Append(b), start)
}

func appendKeyValue(b []byte, field uint32, kv *mvccpb.KeyValue) []byte {
	if kv == nil {
		return b
	}
	b, start := Open(b, field)
	b = appendBytes(b, 1, kv.Key)
	b = appendInt(b, 2, kv.CreateRevision)
	b = appendInt(b, 3, kv.ModRevision)
	b = appendInt(b, 4, kv.Version)
	b = appendBytes(b, 5, kv.Value)
	b = appendInt(b, 6, kv.Lease)
	return Close(b, start)
}

func decodeKeyValue(kv *mvccpb.KeyValue, b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			kv.Key = r.bytes()
		case 2:
			kv.CreateRevision = r.int()
		case 3:
			kv.ModRevision = r.int()
		case 4:
			kv.Version = r.int()
		case 5:
			kv.Value = r.bytes()
		case 6:
			kv.Lease = r.int()
		default:
			r.skip()
		}
	}
	return r.err
}

// subKeyValue is sub for a KeyValue, which is public and has no methods of ours.
func subKeyValue(r *reader, kv **mvccpb.KeyValue) {
	b := r.bytes()
	if r.err != nil {
		return
	}
	if *kv == nil {
		*kv = new(mvccpb.KeyValue)
	}
	r.err = decodeKeyValue(*kv, b)
}

// A kvBlock holds the keys of one message: they are counted before, so that they take two allocations.
type kvBlock struct {
	kvs []mvccpb.KeyValue
	out []*mvccpb.KeyValue
}

func (block *kvBlock) add(r *reader, message []byte, field uint32) {
	b := r.bytes()
	if r.err != nil {
		return
	}
	if block.out == nil {
		n := count(message, field)
		block.kvs, block.out = make([]mvccpb.KeyValue, n), make([]*mvccpb.KeyValue, 0, n)
	}
	kv := &block.kvs[len(block.out)]
	block.out = append(block.out, kv)
	r.err = decodeKeyValue(kv, b)
}
