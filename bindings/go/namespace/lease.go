package namespace

import (
	"context"

	etclite "github.com/etclite/etclite/bindings/go"
)

type leasePrefix struct {
	etclite.Lease
	pfx prefix
}

// NewLease is a Lease that shows only the keys under a prefix, without it. Leases belong to the whole store.
func NewLease(l etclite.Lease, pfx string) etclite.Lease {
	return &leasePrefix{l, prefix(pfx)}
}

func (l *leasePrefix) TimeToLive(ctx context.Context, id etclite.LeaseID, opts ...etclite.LeaseOption) (*etclite.LeaseTimeToLiveResponse, error) {
	resp, err := l.Lease.TimeToLive(ctx, id, opts...)
	if err != nil {
		return nil, err
	}
	var own [][]byte
	for _, key := range resp.Keys {
		if l.pfx.has(key) {
			own = append(own, l.pfx.strip(key))
		}
	}
	resp.Keys = own
	return resp, nil
}
