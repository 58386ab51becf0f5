package etclite

import (
	"context"

	"github.com/etclite/etclite/bindings/go/internal/wire"
)

// A StatusResponse says how the store is.
type StatusResponse struct {
	Header *ResponseHeader
	// Version is that of the etcd whose behaviour this is, as clients read it.
	Version string
	// DbSize is how much space the store takes, in bytes.
	DbSize int64
	// Leader is the member that leads, itself in a store without a group.
	Leader uint64
	// RaftIndex, RaftTerm and RaftAppliedIndex are those of the group; without one the indexes are the revision.
	RaftIndex        uint64
	RaftTerm         uint64
	RaftAppliedIndex uint64
	// Errors tells what is wrong, if anything is.
	Errors []string
	// DbSizeInUse is how much of the space is in use, in bytes.
	DbSizeInUse int64
	// IsLearner tells whether this member of a group has no vote.
	IsLearner bool
	// StorageVersion is the version of the format.
	StorageVersion string
	// DbSizeQuota is the quota in bytes, 0 if there is none.
	DbSizeQuota int64
}

// A HashKVResponse answers HashKV.
type HashKVResponse struct {
	Header *ResponseHeader
	// Hash is equal in stores with equal keys and histories. It cannot be compared with that of a real etcd.
	Hash uint32
	// CompactRevision is the oldest revision that the hash depends on.
	CompactRevision int64
	// HashRevision is the newest.
	HashRevision int64
}

// A DefragmentResponse answers Defragment.
type DefragmentResponse struct {
	Header *ResponseHeader
}

// Maintenance tells how a store is. The endpoints that etcd's methods name are ignored: there is one store.
type Maintenance interface {
	// Status tells sizes, leader and revision.
	Status(ctx context.Context, endpoint string) (*StatusResponse, error)

	// HashKV hashes all keys and their history up to a revision; 0 is the latest.
	HashKV(ctx context.Context, endpoint string, rev int64) (*HashKVResponse, error)

	// Defragment does nothing, and never has to be called: space is given back by itself.
	Defragment(ctx context.Context, endpoint string) (*DefragmentResponse, error)
}

// maintenanceCalls is a Maintenance made of calls into the library.
type maintenanceCalls struct {
	caller caller
}

func (m maintenanceCalls) Status(ctx context.Context, _ string) (*StatusResponse, error) {
	resp, err := callRead[wire.StatusResponse](ctx, m.caller, wire.OpStatus, nothing)
	return (*StatusResponse)(resp), err
}

func (m maintenanceCalls) HashKV(ctx context.Context, _ string, rev int64) (*HashKVResponse, error) {
	req := wire.HashKVRequest{Revision: rev}
	resp, err := callRead[wire.HashKVResponse](ctx, m.caller, wire.OpHashKV, req.Append)
	return (*HashKVResponse)(resp), err
}

func (m maintenanceCalls) Defragment(ctx context.Context, endpoint string) (*DefragmentResponse, error) {
	status, err := m.Status(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	// As of etcd: the answer has no revision.
	header := status.Header
	return &DefragmentResponse{Header: &ResponseHeader{ClusterId: header.GetClusterId(), MemberId: header.GetMemberId(),
		RaftTerm: header.GetRaftTerm()}}, nil
}
