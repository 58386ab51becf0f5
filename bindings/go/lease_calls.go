package etclite

import (
	"context"

	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// A LeaseID names a lease.
type LeaseID int64

// NoLease is the id of no lease.
const NoLease LeaseID = 0

// LeaseResponseChSize is how many answers of KeepAlive wait to be read; then the oldest is dropped for a new one.
const LeaseResponseChSize = 16

// A LeaseGrantResponse answers Grant.
type LeaseGrantResponse struct {
	*ResponseHeader
	// ID is the new lease.
	ID LeaseID
	// TTL is what was granted, in seconds.
	TTL int64
	// Error is always empty; failures are the error of the call.
	Error string
}

// A LeaseRevokeResponse answers Revoke.
type LeaseRevokeResponse struct {
	Header *ResponseHeader
}

// A LeaseKeepAliveResponse tells of one renewal.
type LeaseKeepAliveResponse struct {
	*ResponseHeader
	// ID is the lease.
	ID LeaseID
	// TTL is how long it lasts from now on unless renewed again, in seconds, rounded up.
	TTL int64
}

// A LeaseTimeToLiveResponse answers TimeToLive.
type LeaseTimeToLiveResponse struct {
	*ResponseHeader
	// ID is the lease.
	ID LeaseID `json:"id"`
	// TTL is the time left in whole seconds, rounded down; -1 if there is no such lease.
	TTL int64 `json:"ttl"`
	// GrantedTTL is what each renewal gives, in seconds.
	GrantedTTL int64 `json:"granted-ttl"`
	// Keys are those attached to the lease, if WithAttachedKeys asked for them.
	Keys [][]byte `json:"keys"`
}

// A LeaseStatus is a lease in a list.
type LeaseStatus struct {
	ID LeaseID `json:"id"`
}

// A LeaseLeasesResponse answers Leases.
type LeaseLeasesResponse struct {
	*ResponseHeader
	// Leases are in the order in which they end.
	Leases []LeaseStatus `json:"leases"`
}

// ErrKeepAliveHalted is returned by KeepAlive of a client that was closed.
type ErrKeepAliveHalted struct {
	Reason error
}

// Error has the reason behind etcd's words.
func (e ErrKeepAliveHalted) Error() string {
	if e.Reason == nil {
		return "etcdclient: leases keep alive halted"
	}
	return "etcdclient: leases keep alive halted: " + e.Reason.Error()
}

// Unwrap is the reason.
func (e ErrKeepAliveHalted) Unwrap() error { return e.Reason }

// A Lease grants, renews and ends leases. The keys put with a lease are deleted when it ends, all in one revision; it never ends
// early, and its time goes on while the store is closed.
type Lease interface {
	// Grant makes a lease that ends after ttl seconds unless it is renewed; at least the shortest that the store grants.
	Grant(ctx context.Context, ttl int64) (*LeaseGrantResponse, error)

	// Revoke ends a lease, and deletes its keys. ErrLeaseNotFound if there is none.
	Revoke(ctx context.Context, id LeaseID) (*LeaseRevokeResponse, error)

	// TimeToLive tells how long a lease has left. That there is no such lease is no error: TTL is -1.
	TimeToLive(ctx context.Context, id LeaseID, opts ...LeaseOption) (*LeaseTimeToLiveResponse, error)

	// Leases lists all leases.
	Leases(ctx context.Context) (*LeaseLeasesResponse, error)

	// KeepAlive renews a lease until the context ends: at once, and then each third of its time. Each renewal is told by the
	// channel, which holds the newest LeaseResponseChSize of them: it need not be read. The channel is closed once the lease is
	// gone, the context has ended or the client is closed.
	KeepAlive(ctx context.Context, id LeaseID) (<-chan *LeaseKeepAliveResponse, error)

	// KeepAliveOnce renews a lease. ErrLeaseNotFound if it is gone.
	KeepAliveOnce(ctx context.Context, id LeaseID) (*LeaseKeepAliveResponse, error)

	// Close stops all renewals.
	Close() error
}

// leaseCalls are those methods of a Lease that are calls into the library.
type leaseCalls struct {
	caller caller
}

func (l leaseCalls) Grant(ctx context.Context, ttl int64) (*LeaseGrantResponse, error) {
	req := wire.LeaseGrantRequest{TTL: ttl}
	resp, err := callWrite[wire.LeaseGrantResponse](ctx, l.caller, wire.OpLeaseGrant, req.Append(nil))
	if err != nil {
		return nil, err
	}
	return &LeaseGrantResponse{ResponseHeader: resp.Header, ID: LeaseID(resp.ID), TTL: resp.TTL, Error: resp.Error}, nil
}

func (l leaseCalls) Revoke(ctx context.Context, id LeaseID) (*LeaseRevokeResponse, error) {
	req := wire.LeaseRevokeRequest{ID: int64(id)}
	resp, err := callWrite[wire.LeaseRevokeResponse](ctx, l.caller, wire.OpLeaseRevoke, req.Append(nil))
	return (*LeaseRevokeResponse)(resp), err
}

func (l leaseCalls) TimeToLive(ctx context.Context, id LeaseID, opts ...LeaseOption) (*LeaseTimeToLiveResponse, error) {
	op := LeaseOp{}
	for _, opt := range opts {
		opt(&op)
	}
	req := wire.LeaseTimeToLiveRequest{ID: int64(id), Keys: op.attachedKeys}
	resp, err := callRead[wire.LeaseTimeToLiveResponse](ctx, l.caller, wire.OpLeaseTimeToLive, req.Append)
	if err != nil {
		return nil, err
	}
	return &LeaseTimeToLiveResponse{ResponseHeader: resp.Header, ID: LeaseID(resp.ID), TTL: resp.TTL,
		GrantedTTL: resp.GrantedTTL, Keys: resp.Keys}, nil
}

func (l leaseCalls) Leases(ctx context.Context) (*LeaseLeasesResponse, error) {
	resp, err := callRead[wire.LeaseLeasesResponse](ctx, l.caller, wire.OpLeaseLeases, nothing)
	if err != nil {
		return nil, err
	}
	leases := make([]LeaseStatus, len(resp.Leases))
	for i := range resp.Leases {
		leases[i].ID = LeaseID(resp.Leases[i].ID)
	}
	return &LeaseLeasesResponse{ResponseHeader: resp.Header, Leases: leases}, nil
}

// KeepAliveOnce waits as a write does: a renewal that outlasts a crash is durable before it is answered.
func (l leaseCalls) KeepAliveOnce(ctx context.Context, id LeaseID) (*LeaseKeepAliveResponse, error) {
	req := wire.LeaseKeepAliveRequest{ID: int64(id)}
	resp, err := callWrite[wire.LeaseKeepAliveResponse](ctx, l.caller, wire.OpLeaseKeepAlive, req.Append(nil))
	if err != nil {
		return nil, err
	}
	renewed := &LeaseKeepAliveResponse{ResponseHeader: resp.Header, ID: LeaseID(resp.ID), TTL: resp.TTL}
	if renewed.TTL <= 0 {
		return renewed, rpctypes.ErrLeaseNotFound
	}
	return renewed, nil
}
