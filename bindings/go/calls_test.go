package etclite

import (
	"errors"
	"reflect"
	"testing"

	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

func TestLeaseCalls(t *testing.T) {
	grant := leaseCalls{expectWrite(t, wire.OpLeaseGrant, &wire.LeaseGrantRequest{TTL: 5}, &wire.LeaseGrantResponse{Header: header(1), ID: 9, TTL: 6})}
	if got, err := grant.Grant(background, 5); err != nil || got.ID != 9 || got.TTL != 6 || got.Revision != 1 || got.Error != "" {
		t.Errorf("%+v, %v", got, err)
	}
	revoke := leaseCalls{expectWrite(t, wire.OpLeaseRevoke, &wire.LeaseRevokeRequest{ID: 9}, &wire.LeaseRevokeResponse{Header: header(4)})}
	if got, err := revoke.Revoke(background, 9); err != nil || got.Header.Revision != 4 {
		t.Errorf("%+v, %v", got, err)
	}
	keys := [][]byte{[]byte("a"), []byte("b")}
	ttl := leaseCalls{expectRead(t, wire.OpLeaseTimeToLive, &wire.LeaseTimeToLiveRequest{ID: 9, Keys: true},
		&wire.LeaseTimeToLiveResponse{Header: header(4), ID: 9, TTL: 3, GrantedTTL: 5, Keys: keys})}
	want := &LeaseTimeToLiveResponse{ResponseHeader: header(4), ID: 9, TTL: 3, GrantedTTL: 5, Keys: keys}
	if got, err := ttl.TimeToLive(background, 9, WithAttachedKeys()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	gone := leaseCalls{expectRead(t, wire.OpLeaseTimeToLive, &wire.LeaseTimeToLiveRequest{ID: 9}, &wire.LeaseTimeToLiveResponse{ID: 9, TTL: -1})}
	if got, err := gone.TimeToLive(background, 9); err != nil || got.TTL != -1 {
		t.Errorf("%+v, %v", got, err)
	}
	list := leaseCalls{expectRead(t, wire.OpLeaseLeases, nil, &wire.LeaseLeasesResponse{Header: header(4), Leases: []wire.LeaseStatus{{ID: 3}, {ID: -1}}})}
	if got, err := list.Leases(background); err != nil || !reflect.DeepEqual(got.Leases, []LeaseStatus{{3}, {-1}}) || got.Revision != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestKeepAliveOnce(t *testing.T) {
	once := leaseCalls{expectWrite(t, wire.OpLeaseKeepAlive, &wire.LeaseKeepAliveRequest{ID: 9}, &wire.LeaseKeepAliveResponse{Header: header(4), ID: 9, TTL: 5})}
	if got, err := once.KeepAliveOnce(background, 9); err != nil || got.TTL != 5 || got.ID != 9 || got.Revision != 4 {
		t.Errorf("%+v, %v", got, err)
	}
	once = leaseCalls{expectWrite(t, wire.OpLeaseKeepAlive, &wire.LeaseKeepAliveRequest{ID: 9}, &wire.LeaseKeepAliveResponse{Header: header(4), ID: 9})}
	if got, err := once.KeepAliveOnce(background, 9); err != rpctypes.ErrLeaseNotFound || got.TTL != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestErrorsOfLeaseCalls(t *testing.T) {
	refused := func(writes bool, op uint32, want message) leaseCalls {
		return leaseCalls{&fakeCaller{t: t, writes: writes, op: op, want: want, err: rpctypes.ErrLeaseNotFound}}
	}
	_, granted := refused(true, wire.OpLeaseGrant, &wire.LeaseGrantRequest{TTL: 1}).Grant(background, 1)
	revoked, revokeErr := refused(true, wire.OpLeaseRevoke, &wire.LeaseRevokeRequest{ID: 9}).Revoke(background, 9)
	_, told := refused(false, wire.OpLeaseTimeToLive, &wire.LeaseTimeToLiveRequest{ID: 9}).TimeToLive(background, 9)
	_, listed := refused(false, wire.OpLeaseLeases, nil).Leases(background)
	_, renewed := refused(true, wire.OpLeaseKeepAlive, &wire.LeaseKeepAliveRequest{ID: 9}).KeepAliveOnce(background, 9)
	for _, err := range []error{granted, revokeErr, told, listed, renewed} {
		if err != rpctypes.ErrLeaseNotFound {
			t.Errorf("%v", err)
		}
	}
	if revoked != nil {
		t.Errorf("%+v", revoked)
	}
}

func TestHaltedKeepAlive(t *testing.T) {
	err := error(ErrKeepAliveHalted{Reason: ErrClosed})
	if err.Error() != "etcdclient: leases keep alive halted: etclite: the store is closed" || !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if text := (ErrKeepAliveHalted{}).Error(); text != "etcdclient: leases keep alive halted" {
		t.Errorf("%v", text)
	}
}

func TestMaintenanceCalls(t *testing.T) {
	reply := &wire.StatusResponse{Header: header(7), Version: "3.7.1", DbSize: 10, Leader: 5, RaftIndex: 7, RaftTerm: 1, RaftAppliedIndex: 7,
		Errors: []string{"poisoned"}, DbSizeInUse: 9, IsLearner: true, StorageVersion: "3.7.0", DbSizeQuota: 11}
	status := maintenanceCalls{expectRead(t, wire.OpStatus, nil, reply)}
	if got, err := status.Status(background, "ignored"); err != nil || !reflect.DeepEqual(got, (*StatusResponse)(reply)) {
		t.Errorf("%+v, %v", got, err)
	}
	hash := maintenanceCalls{expectRead(t, wire.OpHashKV, &wire.HashKVRequest{Revision: 6}, &wire.HashKVResponse{Header: header(7), Hash: 5, HashRevision: 6, CompactRevision: 2})}
	if got, err := hash.HashKV(background, "", 6); err != nil || got.Hash != 5 || got.HashRevision != 6 || got.CompactRevision != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	defragment := maintenanceCalls{expectRead(t, wire.OpStatus, nil, reply)}
	if got, err := defragment.Defragment(background, ""); err != nil || got.Header.Revision != 0 || got.Header.MemberId != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	closed := maintenanceCalls{&fakeCaller{t: t, op: wire.OpStatus, err: ErrClosed}}
	if got, err := closed.Defragment(background, ""); err != ErrClosed || got != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatAWatchResponseTells(t *testing.T) {
	for name, row := range map[string]struct {
		response WatchResponse
		err      error
		progress bool
	}{
		"events":                 {WatchResponse{Header: header(3), Events: []*Event{{}}}, nil, false},
		"progress":               {WatchResponse{Header: header(3)}, nil, true},
		"created":                {WatchResponse{Header: header(3), Created: true}, nil, false},
		"nothing":                {WatchResponse{}, nil, false},
		"compacted":              {WatchResponse{Header: header(3), CompactRevision: 2, Canceled: true}, rpctypes.ErrCompacted, false},
		"canceled":               {WatchResponse{Header: header(3), Canceled: true}, rpctypes.ErrFutureRev, false},
		"canceled with a reason": {WatchResponse{Canceled: true, CancelReason: "etcdserver: permission denied"}, rpctypes.ErrPermissionDenied, false},
		"closed":                 {WatchResponse{Canceled: true, closeErr: ErrClosed}, ErrClosed, false},
	} {
		if got := row.response.Err(); got != row.err {
			t.Errorf("%s: %v instead of %v", name, got, row.err)
		}
		if got := row.response.IsProgressNotify(); got != row.progress {
			t.Errorf("%s: progress %v", name, got)
		}
	}
	other := WatchResponse{Canceled: true, CancelReason: "watcher range is empty"}
	if got := other.Err(); got == nil || got.Error() != "watcher range is empty" {
		t.Errorf("%v", got)
	}
}
