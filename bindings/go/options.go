package etclite

import "context"

// An OpOption is an option of a get, a put, a delete or a watch.
type OpOption func(*Op)

// A SortTarget is what a get sorts by.
type SortTarget int

// What WithSort takes as a target.
const (
	SortByKey SortTarget = iota
	SortByVersion
	SortByCreateRevision
	SortByModRevision
	SortByValue
)

// A SortOrder is the direction that a get sorts in.
type SortOrder int

// What WithSort takes as an order. SortNone sorts by the key, or, with another target, in ascending order.
const (
	SortNone SortOrder = iota
	SortAscend
	SortDescend
)

// A SortOption is what WithSort sets.
type SortOption struct {
	Target SortTarget
	Order  SortOrder
}

// WithLease attaches the key of a put to a lease, with which it is deleted. NoLease detaches it.
func WithLease(leaseID LeaseID) OpOption {
	return func(op *Op) { op.leaseID = leaseID }
}

// WithLimit bounds how many keys a get returns; 0 is no bound. Count still tells how many there are.
func WithLimit(n int64) OpOption { return func(op *Op) { op.limit = n } }

// WithRev makes a get read at an earlier revision, and a watch start with the events of that revision. 0 is the latest, or
// what comes.
func WithRev(rev int64) OpOption { return func(op *Op) { op.rev = rev } }

// WithSort orders the keys of a get. Ties are in the order of the keys.
//
// Keys come in ascending order anyway, so that this is dropped, as in etcd's client; all else reads the whole range before the
// limit is applied.
func WithSort(target SortTarget, order SortOrder) OpOption {
	if target == SortByKey && order == SortAscend {
		order = SortNone
	}
	return func(op *Op) { op.sort = &SortOption{target, order} }
}

// GetPrefixRangeEnd is the end of the range of all keys that begin with a prefix: the least key after them, or "\x00", which
// stands for the end of all keys, if there is none.
func GetPrefixRangeEnd(prefix string) string { return string(prefixEnd([]byte(prefix))) }

func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return []byte{0}
}

// WithPrefix makes an operation concern all keys that begin with the key; all keys at all if it is empty.
func WithPrefix() OpOption {
	return func(op *Op) {
		op.isOptsWithPrefix = true
		if len(op.key) == 0 {
			op.key, op.end = []byte{0}, []byte{0}
			return
		}
		op.end = prefixEnd(op.key)
	}
}

// WithRange makes an operation concern all keys from the key up to, but without, endKey.
func WithRange(endKey string) OpOption {
	return func(op *Op) { op.end = []byte(endKey) }
}

// WithFromKey makes an operation concern all keys from the key on.
func WithFromKey() OpOption {
	return func(op *Op) {
		op.isOptsWithFromKey = true
		if len(op.key) == 0 {
			op.key = []byte{0}
		}
		op.end = []byte{0}
	}
}

// WithSerializable lets a member of a group answer a get by what it knows, which may be behind. In a store without a group
// it makes no difference.
func WithSerializable() OpOption { return func(op *Op) { op.serializable = true } }

// WithKeysOnly leaves the values out.
func WithKeysOnly() OpOption { return func(op *Op) { op.keysOnly = true } }

// WithCountOnly leaves the keys out: only Count is returned.
func WithCountOnly() OpOption { return func(op *Op) { op.countOnly = true } }

// WithMinModRev leaves out keys that were last changed before a revision.
func WithMinModRev(rev int64) OpOption { return func(op *Op) { op.minModRev = rev } }

// WithMaxModRev leaves out keys that were last changed after a revision.
func WithMaxModRev(rev int64) OpOption { return func(op *Op) { op.maxModRev = rev } }

// WithMinCreateRev leaves out keys that were created before a revision.
func WithMinCreateRev(rev int64) OpOption { return func(op *Op) { op.minCreateRev = rev } }

// WithMaxCreateRev leaves out keys that were created after a revision.
func WithMaxCreateRev(rev int64) OpOption { return func(op *Op) { op.maxCreateRev = rev } }

// WithFirstCreate asks for the key of the prefix that was created first.
func WithFirstCreate() []OpOption { return withTop(SortByCreateRevision, SortAscend) }

// WithLastCreate asks for the key of the prefix that was created last.
func WithLastCreate() []OpOption { return withTop(SortByCreateRevision, SortDescend) }

// WithFirstKey asks for the first key of the prefix.
func WithFirstKey() []OpOption { return withTop(SortByKey, SortAscend) }

// WithLastKey asks for the last key of the prefix.
func WithLastKey() []OpOption { return withTop(SortByKey, SortDescend) }

// WithFirstRev asks for the key of the prefix whose last change is the oldest.
func WithFirstRev() []OpOption { return withTop(SortByModRevision, SortAscend) }

// WithLastRev asks for the key of the prefix that was changed last.
func WithLastRev() []OpOption { return withTop(SortByModRevision, SortDescend) }

func withTop(target SortTarget, order SortOrder) []OpOption {
	return []OpOption{WithPrefix(), WithSort(target, order), WithLimit(1)}
}

// WithProgressNotify lets a watch without events tell, about every ten minutes, how far it has come: a response without events,
// whose header's revision one can resume after.
func WithProgressNotify() OpOption { return func(op *Op) { op.progressNotify = true } }

// WithCreatedNotify makes the first response of a watch tell that it was created.
func WithCreatedNotify() OpOption { return func(op *Op) { op.createdNotify = true } }

// WithFilterPut leaves puts out of a watch.
func WithFilterPut() OpOption { return func(op *Op) { op.filterPut = true } }

// WithFilterDelete leaves deletes out of a watch.
func WithFilterDelete() OpOption { return func(op *Op) { op.filterDelete = true } }

// WithPrevKV adds what was there before to the answer of a put or a delete, and to the events of a watch.
func WithPrevKV() OpOption { return func(op *Op) { op.prevKV = true } }

// WithFragment is accepted for the sake of programs written for etcd. Nothing is sent here, so no response is ever split.
func WithFragment() OpOption { return func(op *Op) { op.fragment = true } }

// WithIgnoreValue makes a put keep the value that the key has; it fails with ErrKeyNotFound if there is no such key.
func WithIgnoreValue() OpOption { return func(op *Op) { op.ignoreValue = true } }

// WithIgnoreLease makes a put keep the lease that the key has; it fails with ErrKeyNotFound if there is no such key.
func WithIgnoreLease() OpOption { return func(op *Op) { op.ignoreLease = true } }

// IsOptsWithPrefix tells whether WithPrefix is among the options.
func IsOptsWithPrefix(opts []OpOption) bool {
	op := NewOp()
	op.applyOpts(opts)
	return op.isOptsWithPrefix
}

// IsOptsWithFromKey tells whether WithFromKey is among the options.
func IsOptsWithFromKey(opts []OpOption) bool {
	op := NewOp()
	op.applyOpts(opts)
	return op.isOptsWithFromKey
}

// A LeaseOp is what options of leases are applied to.
type LeaseOp struct {
	attachedKeys bool
}

// A LeaseOption is an option of Lease.TimeToLive.
type LeaseOption func(*LeaseOp)

// WithAttachedKeys adds the keys of the lease to the answer.
func WithAttachedKeys() LeaseOption { return func(op *LeaseOp) { op.attachedKeys = true } }

// A CompactOp is a compaction.
type CompactOp struct {
	revision int64
	physical bool
}

// A CompactOption is an option of KV.Compact.
type CompactOption func(*CompactOp)

// OpCompact is a compaction as a value.
func OpCompact(rev int64, opts ...CompactOption) CompactOp {
	op := CompactOp{revision: rev}
	for _, opt := range opts {
		opt(&op)
	}
	return op
}

// WithCompactPhysical makes Compact wait until the space of what was dropped has been given back.
func WithCompactPhysical() CompactOption { return func(op *CompactOp) { op.physical = true } }

// WithRequireLeader is accepted for the sake of programs written for etcd: a store inside the process always has a leader, so
// the context is returned as it is.
func WithRequireLeader(ctx context.Context) context.Context { return ctx }
