package concurrency

import (
	"context"
	"errors"
	"maps"
	"slices"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/mvccpb"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// An STM is the keys as a running function sees them. A read that fails ends the run: the call does not return to the function.
type STM interface {
	// Get is the value of a key, this function's own writes included; empty if it does not exist. Of several keys it is the value
	// of the first that exists, and all of them count as read.
	Get(key ...string) string
	// Put puts a key at the end; of several writes of a key the last counts.
	Put(key, val string, opts ...etclite.OpOption)
	// Rev is the revision of a key's last change as it was read, whatever this function has written; 0 if it does not exist.
	Rev(key string) int64
	// Del deletes a key at the end.
	Del(key string)

	private()
}

// An Isolation is how much of being alone a function gets.
type Isolation int

// The levels of isolation, from most to least.
const (
	// SerializableSnapshot: all reads are of one revision; what was read has not changed by the end, nor has what is written
	// since then.
	SerializableSnapshot Isolation = iota
	// Serializable: all reads are of one revision, and what was read has not changed by the end.
	Serializable
	// RepeatableReads: each key is read once, when it is first asked for, and has not changed by the end.
	RepeatableReads
	// ReadCommitted: each key is read once. It may have changed by the end.
	ReadCommitted
)

type stmOptions struct {
	iso      Isolation
	ctx      context.Context
	prefetch []string
}

// An STMOption is an option of NewSTM.
type STMOption func(*stmOptions)

// WithIsolation sets the level of isolation; SerializableSnapshot without it.
func WithIsolation(lvl Isolation) STMOption {
	return func(so *stmOptions) { so.iso = lvl }
}

// WithAbortContext sets a context whose end ends the attempts; the client's without it.
func WithAbortContext(ctx context.Context) STMOption {
	return func(so *stmOptions) { so.ctx = ctx }
}

// WithPrefetch reads keys in one go before each run. They count as read.
func WithPrefetch(keys ...string) STMOption {
	return func(so *stmOptions) { so.prefetch = append(so.prefetch, keys...) }
}

// NewSTM runs a function that reads and writes keys as if it were alone, again and again until what it did could be written in
// one txn, whose answer is returned. The function must have no effect but on its keys. Its error ends the attempts, and nothing
// is written. It panics on a level of isolation that does not exist.
func NewSTM(c *etclite.Client, apply func(STM) error, so ...STMOption) (*etclite.TxnResponse, error) {
	opts := stmOptions{ctx: c.Ctx()}
	for _, opt := range so {
		opt(&opts)
	}
	if opts.iso < SerializableSnapshot || opts.iso > ReadCommitted {
		panic("unsupported stm")
	}
	for {
		s := &stm{client: c, ctx: opts.ctx, iso: opts.iso, read: map[string]*mvccpb.KeyValue{}, written: map[string]stmWrite{}}
		err := s.run(apply, opts.prefetch)
		if err == nil {
			var resp *etclite.TxnResponse
			if resp, err = s.commit(); err == nil && resp.Succeeded {
				return resp, nil
			}
		}
		// A compaction may pass the revision that is read at: then another one is chosen.
		if err != nil && !errors.Is(err, errOutrun) {
			return nil, err
		}
	}
}

// errOutrun says that the revision of a run is compacted.
var errOutrun = errors.New("etclite: the revision of the run is compacted")

// An stmFailure carries the error of a read through the function, which has nowhere to return it.
type stmFailure struct{ err error }

type stmWrite struct {
	val string
	op  etclite.Op
}

type stm struct {
	client *etclite.Client
	ctx    context.Context
	iso    Isolation
	// What was read, nil for keys that do not exist.
	read map[string]*mvccpb.KeyValue
	// What is to be written.
	written map[string]stmWrite
	// What all reads are of at the serializable levels; 0 before the first.
	revision int64
}

func (s *stm) run(apply func(STM) error, prefetch []string) (err error) {
	defer func() {
		if failed := recover(); failed != nil {
			failure, ok := failed.(stmFailure)
			if !ok {
				panic(failed)
			}
			err = failure.err
		}
	}()
	s.fetch(prefetch)
	return apply(s)
}

func (s *stm) private() {}

func (s *stm) Get(keys ...string) string {
	s.fetch(slices.DeleteFunc(slices.Clone(keys), s.isWritten))
	for _, key := range keys {
		if write, ok := s.written[key]; ok {
			if write.op.IsPut() {
				return write.val
			}
		} else if kv := s.read[key]; kv != nil {
			return string(kv.Value)
		}
	}
	return ""
}

func (s *stm) Put(key, val string, opts ...etclite.OpOption) {
	s.written[key] = stmWrite{val, etclite.OpPut(key, val, opts...)}
}

func (s *stm) Del(key string) { s.written[key] = stmWrite{"", etclite.OpDelete(key)} }

func (s *stm) Rev(key string) int64 {
	s.fetch([]string{key})
	return s.read[key].GetModRevision()
}

func (s *stm) isWritten(key string) bool {
	_, ok := s.written[key]
	return ok
}

func (s *stm) pinned() bool { return s.iso == SerializableSnapshot || s.iso == Serializable }

// fetch reads those of the keys that were not read before, in one go.
func (s *stm) fetch(keys []string) {
	var ops []etclite.Op
	var missing []string
	for _, key := range keys {
		if _, ok := s.read[key]; !ok && !slices.Contains(missing, key) {
			missing = append(missing, key)
			ops = append(ops, etclite.OpGet(key, etclite.WithRev(s.revision)))
		}
	}
	if len(missing) == 0 {
		return
	}
	resp, err := s.client.Txn(s.ctx).Then(ops...).Commit()
	if err != nil {
		if s.revision != 0 && errors.Is(err, rpctypes.ErrCompacted) {
			err = errOutrun
		}
		panic(stmFailure{err})
	}
	for i, key := range missing {
		s.read[key] = nil
		if kvs := resp.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
			s.read[key] = kvs[0]
		}
	}
	if s.pinned() && s.revision == 0 {
		s.revision = resp.Header.GetRevision()
	}
}

// commit writes, if nothing stands against it.
func (s *stm) commit() (*etclite.TxnResponse, error) {
	var cmps []etclite.Cmp
	if s.iso != ReadCommitted {
		for _, key := range slices.Sorted(maps.Keys(s.read)) {
			cmps = append(cmps, etclite.Compare(etclite.ModRevision(key), "=", s.read[key].GetModRevision()))
		}
	}
	var ops []etclite.Op
	for _, key := range slices.Sorted(maps.Keys(s.written)) {
		ops = append(ops, s.written[key].op)
		if s.iso == SerializableSnapshot && s.revision != 0 {
			cmps = append(cmps, etclite.Compare(etclite.ModRevision(key), "<", s.revision+1))
		}
	}
	return s.client.Txn(s.ctx).If(cmps...).Then(ops...).Commit()
}

// NewSTMRepeatable is NewSTM at RepeatableReads.
//
// Deprecated: use NewSTM.
func NewSTMRepeatable(ctx context.Context, c *etclite.Client, apply func(STM) error) (*etclite.TxnResponse, error) {
	return NewSTM(c, apply, WithAbortContext(ctx), WithIsolation(RepeatableReads))
}

// NewSTMSerializable is NewSTM at Serializable.
//
// Deprecated: use NewSTM.
func NewSTMSerializable(ctx context.Context, c *etclite.Client, apply func(STM) error) (*etclite.TxnResponse, error) {
	return NewSTM(c, apply, WithAbortContext(ctx), WithIsolation(Serializable))
}

// NewSTMReadCommitted is NewSTM at ReadCommitted.
//
// Deprecated: use NewSTM.
func NewSTMReadCommitted(ctx context.Context, c *etclite.Client, apply func(STM) error) (*etclite.TxnResponse, error) {
	return NewSTM(c, apply, WithAbortContext(ctx), WithIsolation(ReadCommitted))
}
