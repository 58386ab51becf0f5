package etclite

import (
	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// The kinds of operations. Their numbers are those of the calls, and of the fields of a txn's operations.
type opType uint32

const (
	tRange       opType = wire.OpRange
	tPut         opType = wire.OpPut
	tDeleteRange opType = wire.OpDeleteRange
	tTxn         opType = wire.OpTxn
)

// An Op is an operation that KV.Do executes, and that the branches of a Txn consist of. Make one with OpGet, OpPut, OpDelete
// or OpTxn; the zero Op is none of these, and is refused by a panic as in etcd's client.
type Op struct {
	t   opType
	key []byte
	end []byte

	// Of a get.
	limit        int64
	sort         *SortOption
	serializable bool
	keysOnly     bool
	countOnly    bool
	minModRev    int64
	maxModRev    int64
	minCreateRev int64
	maxCreateRev int64

	// Of a get and a watch.
	rev int64
	// Of a watch, a put and a delete.
	prevKV bool

	// Of a watch.
	fragment       bool
	progressNotify bool
	createdNotify  bool
	filterPut      bool
	filterDelete   bool

	// Of a put.
	val         []byte
	leaseID     LeaseID
	ignoreValue bool
	ignoreLease bool

	// Of a txn.
	cmps    []Cmp
	thenOps []Op
	elseOps []Op

	isOptsWithFromKey bool
	isOptsWithPrefix  bool
}

// NewOp is an empty operation, for options to be tried on.
func NewOp() *Op { return &Op{key: []byte{}} }

// OpGet reads a key, or a range of keys by WithRange, WithPrefix or WithFromKey. It panics on WithPrefix together with
// WithFromKey.
func OpGet(key string, opts ...OpOption) Op {
	op := newOp(tRange, key, opts)
	op.refuseTwoRanges()
	return op
}

// OpPut puts a key. It panics on options of reads.
func OpPut(key, val string, opts ...OpOption) Op {
	op := Op{t: tPut, key: []byte(key), val: []byte(val)}
	op.applyOpts(opts)
	if op.end != nil {
		panic("unexpected range in put")
	}
	op.refuseReadOptions("put")
	return op
}

// OpDelete deletes a key, or a range of keys. It panics on options of reads and of puts, and on WithPrefix together with
// WithFromKey.
func OpDelete(key string, opts ...OpOption) Op {
	op := newOp(tDeleteRange, key, opts)
	op.refuseTwoRanges()
	if op.leaseID != NoLease {
		panic("unexpected lease in delete")
	}
	op.refuseReadOptions("delete")
	return op
}

// OpTxn is a txn as an operation of another one, or for KV.Do.
func OpTxn(cmps []Cmp, thenOps []Op, elseOps []Op) Op {
	return Op{t: tTxn, cmps: cloneCmps(cmps), thenOps: thenOps, elseOps: elseOps}
}

// OpWatch shows what options mean for a watch, for those who wrap a Watcher; it cannot be executed by KV.Do other than as a
// get. It panics on options that no watch has.
func OpWatch(key string, opts ...OpOption) Op {
	op := newOp(tRange, key, opts)
	switch {
	case op.leaseID != NoLease:
		panic("unexpected lease in watch")
	case op.limit != 0:
		panic("unexpected limit in watch")
	}
	op.refuseSelection("watch")
	return op
}

func newOp(t opType, key string, opts []OpOption) Op {
	op := Op{t: t, key: []byte(key)}
	op.applyOpts(opts)
	return op
}

func (op *Op) applyOpts(opts []OpOption) {
	for _, opt := range opts {
		opt(op)
	}
}

func (op *Op) refuseTwoRanges() {
	if op.isOptsWithPrefix && op.isOptsWithFromKey {
		panic("`WithPrefix` and `WithFromKey` cannot be set at the same time, choose one")
	}
}

// refuseReadOptions panics on what only a get or a watch may have.
func (op *Op) refuseReadOptions(verb string) {
	switch {
	case op.limit != 0:
		panic("unexpected limit in " + verb)
	case op.rev != 0:
		panic("unexpected revision in " + verb)
	}
	op.refuseSelection(verb)
	switch {
	case op.filterDelete, op.filterPut:
		panic("unexpected filter in " + verb)
	case op.createdNotify:
		panic("unexpected createdNotify in " + verb)
	}
}

// refuseSelection panics on what only a get may have.
func (op *Op) refuseSelection(verb string) {
	switch {
	case op.sort != nil:
		panic("unexpected sort in " + verb)
	case op.serializable:
		panic("unexpected serializable in " + verb)
	case op.countOnly:
		panic("unexpected countOnly in " + verb)
	case op.minModRev != 0, op.maxModRev != 0:
		panic("unexpected mod revision filter in " + verb)
	case op.minCreateRev != 0, op.maxCreateRev != 0:
		panic("unexpected create revision filter in " + verb)
	}
}

// IsTxn tells whether the operation is a txn.
func (op Op) IsTxn() bool { return op.t == tTxn }

// IsPut tells whether the operation is a put.
func (op Op) IsPut() bool { return op.t == tPut }

// IsGet tells whether the operation is a get, or a watch.
func (op Op) IsGet() bool { return op.t == tRange }

// IsDelete tells whether the operation is a delete.
func (op Op) IsDelete() bool { return op.t == tDeleteRange }

// Txn is what a txn consists of: its compares and both branches.
func (op Op) Txn() ([]Cmp, []Op, []Op) { return op.cmps, op.thenOps, op.elseOps }

// KeyBytes is the key. It is the operation's own: do not write to it.
func (op Op) KeyBytes() []byte { return op.key }

// WithKeyBytes replaces the key.
func (op *Op) WithKeyBytes(key []byte) { op.key = key }

// RangeBytes is the end of the range, nil if there is none.
func (op Op) RangeBytes() []byte { return op.end }

// WithRangeBytes replaces the end of the range.
func (op *Op) WithRangeBytes(end []byte) { op.end = end }

// ValueBytes is the value of a put.
func (op Op) ValueBytes() []byte { return op.val }

// WithValueBytes replaces the value of a put.
func (op *Op) WithValueBytes(v []byte) { op.val = v }

// Rev is the revision to read at, or to watch from; 0 if not given.
func (op Op) Rev() int64 { return op.rev }

// Limit is how many keys a get may return; 0 for all.
func (op Op) Limit() int64 { return op.limit }

// IsSerializable tells whether WithSerializable is set.
func (op Op) IsSerializable() bool { return op.serializable }

// IsKeysOnly tells whether WithKeysOnly is set.
func (op Op) IsKeysOnly() bool { return op.keysOnly }

// IsCountOnly tells whether WithCountOnly is set.
func (op Op) IsCountOnly() bool { return op.countOnly }

// IsSortSet tells whether WithSort is set.
func (op Op) IsSortSet() bool { return op.sort != nil }

// IsSortOptionValid tells whether target and order of WithSort exist.
func (op Op) IsSortOptionValid() bool {
	return op.sort == nil || op.sort.Order >= SortNone && op.sort.Order <= SortDescend &&
		op.sort.Target >= SortByKey && op.sort.Target <= SortByValue
}

// IsOptsWithFromKey tells whether WithFromKey is set.
func (op Op) IsOptsWithFromKey() bool { return op.isOptsWithFromKey }

// IsOptsWithPrefix tells whether WithPrefix is set.
func (op Op) IsOptsWithPrefix() bool { return op.isOptsWithPrefix }

// IsPrevKV tells whether WithPrevKV is set.
func (op Op) IsPrevKV() bool { return op.prevKV }

// IsFragment tells whether WithFragment is set.
func (op Op) IsFragment() bool { return op.fragment }

// IsProgressNotify tells whether WithProgressNotify is set.
func (op Op) IsProgressNotify() bool { return op.progressNotify }

// IsCreatedNotify tells whether WithCreatedNotify is set.
func (op Op) IsCreatedNotify() bool { return op.createdNotify }

// IsFilterPut tells whether WithFilterPut is set.
func (op Op) IsFilterPut() bool { return op.filterPut }

// IsFilterDelete tells whether WithFilterDelete is set.
func (op Op) IsFilterDelete() bool { return op.filterDelete }

// MinModRev is that of WithMinModRev.
func (op Op) MinModRev() int64 { return op.minModRev }

// MaxModRev is that of WithMaxModRev.
func (op Op) MaxModRev() int64 { return op.maxModRev }

// MinCreateRev is that of WithMinCreateRev.
func (op Op) MinCreateRev() int64 { return op.minCreateRev }

// MaxCreateRev is that of WithMaxCreateRev.
func (op Op) MaxCreateRev() int64 { return op.maxCreateRev }

// isWrite tells whether the operation can change something.
func (op *Op) isWrite() bool {
	if op.t != tTxn {
		return op.t != tRange
	}
	return anyWrite(op.thenOps) || anyWrite(op.elseOps)
}

func anyWrite(ops []Op) bool {
	for i := range ops {
		if ops[i].isWrite() {
			return true
		}
	}
	return false
}

// check finds what must not reach the encoder: an operation of no kind, which is a bug of the caller, and txns within one
// another without end, as in a slice of operations that holds a txn made of that slice.
func (op *Op) check(levels int) error {
	switch op.t {
	case tRange, tPut, tDeleteRange:
		return nil
	case tTxn:
		if levels == 0 {
			return rpctypes.ErrTooManyOps
		}
		if err := checkOps(op.thenOps, levels-1); err != nil {
			return err
		}
		return checkOps(op.elseOps, levels-1)
	}
	panic("Unknown Op")
}

func checkOps(ops []Op, levels int) error {
	for i := range ops {
		if err := ops[i].check(levels); err != nil {
			return err
		}
	}
	return nil
}

// sizeHint is about how long the encoded operation is.
func (op *Op) sizeHint() int {
	size := 48 + len(op.key) + len(op.end) + len(op.val)
	for i := range op.cmps {
		size += 48 + len(op.cmps[i].c.Key) + len(op.cmps[i].c.Value)
	}
	for _, ops := range [][]Op{op.thenOps, op.elseOps} {
		for i := range ops {
			size += ops[i].sizeHint()
		}
	}
	return size
}

// appendTo encodes the operation's request behind b.
func (op *Op) appendTo(b []byte) []byte {
	switch op.t {
	case tRange:
		return op.appendRange(b)
	case tPut:
		m := wire.PutRequest{Key: op.key, Value: op.val, Lease: int64(op.leaseID), PrevKv: op.prevKV,
			IgnoreValue: op.ignoreValue, IgnoreLease: op.ignoreLease}
		return m.Append(b)
	case tDeleteRange:
		m := wire.DeleteRangeRequest{Key: op.key, RangeEnd: op.end, PrevKv: op.prevKV}
		return m.Append(b)
	}
	start := 0
	for i := range op.cmps {
		b, start = wire.Open(b, 1)
		b = wire.Close(op.cmps[i].c.Append(b), start)
	}
	b = appendOps(b, 2, op.thenOps)
	return appendOps(b, 3, op.elseOps)
}

func (op *Op) appendRange(b []byte) []byte {
	m := wire.RangeRequest{Key: op.key, RangeEnd: op.end, Limit: op.limit, Revision: op.rev, Serializable: op.serializable,
		KeysOnly: op.keysOnly, CountOnly: op.countOnly, MinModRevision: op.minModRev, MaxModRevision: op.maxModRev,
		MinCreateRevision: op.minCreateRev, MaxCreateRevision: op.maxCreateRev}
	if op.sort != nil {
		m.SortOrder, m.SortTarget = int32(op.sort.Order), int32(op.sort.Target)
	}
	return m.Append(b)
}

func appendOps(b []byte, field uint32, ops []Op) []byte {
	for i := range ops {
		var op, request int
		b, op = wire.Open(b, field)
		b, request = wire.Open(b, uint32(ops[i].t))
		b = wire.Close(wire.Close(ops[i].appendTo(b), request), op)
	}
	return b
}

// watchRequest is the request for a watch with these options. What WithProgressNotify and WithFragment ask for is done by the
// watch itself.
func (op *Op) watchRequest() wire.WatchCreateRequest {
	m := wire.WatchCreateRequest{Key: op.key, RangeEnd: op.end, StartRevision: op.rev, PrevKv: op.prevKV}
	if op.filterPut {
		m.Filters = append(m.Filters, wire.FilterNoPut)
	}
	if op.filterDelete {
		m.Filters = append(m.Filters, wire.FilterNoDelete)
	}
	return m
}
