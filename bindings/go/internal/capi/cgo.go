package capi

/*
#cgo noescape bridge_open
#cgo nocallback bridge_open
#cgo noescape bridge_close
#cgo nocallback bridge_close
#cgo noescape bridge_sync
#cgo nocallback bridge_sync
#cgo noescape bridge_revision
#cgo nocallback bridge_revision
#cgo noescape bridge_stats
#cgo nocallback bridge_stats
#cgo noescape bridge_backup
#cgo nocallback bridge_backup
#cgo noescape bridge_call
#cgo nocallback bridge_call
#cgo noescape bridge_call_batch
#cgo nocallback bridge_call_batch
#cgo noescape bridge_take
#cgo nocallback bridge_take
#cgo noescape bridge_watch_create
#cgo nocallback bridge_watch_create
#cgo noescape bridge_watch_next
#cgo nocallback bridge_watch_next
#cgo noescape bridge_watch_progress
#cgo nocallback bridge_watch_progress
#cgo nocallback bridge_watch_free
#cgo noescape bridge_poller_new
#cgo nocallback bridge_poller_new
#cgo noescape bridge_poller_fd
#cgo nocallback bridge_poller_fd
#cgo noescape bridge_poller_add
#cgo nocallback bridge_poller_add
#cgo noescape bridge_poller_drain
#cgo nocallback bridge_poller_drain
#cgo nocallback bridge_poller_free
#include "bridge.h"
*/
import "C"

import (
	"bytes"
	"sync"
	"unsafe"

	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// outSize is how large an answer may be that costs one call; a larger one costs a second.
const outSize = 4 << 10

// A frame is what a call writes to.
type frame struct {
	answer C.bridge_answer
	out    [outSize]byte
}

var frames = sync.Pool{New: func() any { return new(frame) }}

// shortCall begins a call that blocks on nothing; done must end it.
func shortCall() *frame {
	shortCalls.enter()
	return frames.Get().(*frame)
}

func (f *frame) done() {
	shortCalls.leave()
	frames.Put(f)
}

// A batch's answers are many.
const batchOutSize = 64 << 10

var batchOuts = sync.Pool{New: func() any { return new([batchOutSize]byte) }}

// first is where bytes begin: nil, or an address that is not to be read, if there are none.
func first(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(b))) }

func firstOf(s string) *C.uint8_t { return (*C.uint8_t)(unsafe.Pointer(unsafe.StringData(s))) }

// failure is the error of an answer, nil if it is none.
func (f *frame) failure(status C.int32_t) error {
	if status >= 0 {
		return nil
	}
	return rpctypes.FromStatus(int32(status), int64(f.answer.err.detail), C.GoString(&f.answer.err.message[0]))
}

// reply is a fresh copy of what a call answered.
func (f *frame) reply(out []byte) []byte {
	if f.answer.spill_token == 0 {
		return bytes.Clone(out[:f.answer.len])
	}
	spilled := make([]byte, f.answer.spill_len)
	C.bridge_take(&f.answer, first(spilled))
	return spilled
}

// Durability says what an acknowledged write survives.
type Durability uint32

// The levels of Durability.
const (
	Synced Durability = iota
	Written
	Buffered
)

// OpenOptions says how to open a store; zero is the default of each field.
type OpenOptions struct {
	NoCreate, ReadOnly, InMemory bool
	Durability                   Durability
	LockWaitMs                   int64
	RequestBytesMax              int64
	StoreBytesMax                int64
	MemtableBytes                int64
	TxnOpsMax                    uint32
}

func (o *OpenOptions) c() C.etclite_open_options {
	c := C.etclite_open_options{
		struct_size:       C.sizeof_etclite_open_options,
		durability:        C.uint32_t(o.Durability),
		lock_wait_ms:      C.int64_t(o.LockWaitMs),
		request_bytes_max: C.int64_t(o.RequestBytesMax),
		store_bytes_max:   C.int64_t(o.StoreBytesMax),
		memtable_bytes:    C.int64_t(o.MemtableBytes),
		txn_ops_max:       C.uint32_t(o.TxnOpsMax),
	}
	if o.NoCreate {
		c.flags |= C.ETCLITE_OPEN_NO_CREATE
	}
	if o.ReadOnly {
		c.flags |= C.ETCLITE_OPEN_READ_ONLY
	}
	if o.InMemory {
		c.flags |= C.ETCLITE_OPEN_IN_MEMORY
	}
	return c
}

// A DB is an open store.
type DB uintptr

// Open opens the store in the directory path, which is empty for one in memory.
func Open(path string, options OpenOptions) (DB, error) {
	f := frames.Get().(*frame)
	defer frames.Put(f)
	c := options.c()
	status := C.bridge_open(firstOf(path), C.size_t(len(path)), &c, &f.answer)
	return DB(f.answer.handle), f.failure(status)
}

// Close ends the store for all that came of it, waiting for calls in flight. The second time is an error.
func (db DB) Close() error {
	f := frames.Get().(*frame)
	defer frames.Put(f)
	return f.failure(C.bridge_close(C.uintptr_t(db), &f.answer))
}

// Sync makes durable all that was acknowledged.
func (db DB) Sync() error {
	f := frames.Get().(*frame)
	defer frames.Put(f)
	return f.failure(C.bridge_sync(C.uintptr_t(db), &f.answer))
}

// Revision is the store's revision.
func (db DB) Revision() (int64, error) {
	f := shortCall()
	defer f.done()
	status := C.bridge_revision(C.uintptr_t(db), &f.answer)
	return int64(f.answer.number), f.failure(status)
}

// The formats of Stats.
const (
	StatsJSON       = 0
	StatsPrometheus = 1
)

// Stats is what the store tells of itself, as text.
func (db DB) Stats(format uint32) ([]byte, error) {
	f := frames.Get().(*frame)
	defer frames.Put(f)
	if err := f.failure(C.bridge_stats(C.uintptr_t(db), C.uint32_t(format), &f.answer)); err != nil {
		return nil, err
	}
	return f.reply(nil), nil
}

// Backup writes a copy of the store to a path where nothing is yet.
func (db DB) Backup(path string) error {
	f := frames.Get().(*frame)
	defer frames.Put(f)
	return f.failure(C.bridge_backup(C.uintptr_t(db), firstOf(path), C.size_t(len(path)), &f.answer))
}

// Read does one request that changes nothing, of the kind that op says, and answers with the reply in fresh memory.
func (db DB) Read(op uint32, request []byte) ([]byte, error) {
	f := shortCall()
	defer f.done()
	return f.call(db, op, request)
}

// Call is Read for what may take its time: it waits for a commit, asks about leases, or goes over all keys.
func (db DB) Call(op uint32, request []byte) ([]byte, error) {
	f := frames.Get().(*frame)
	defer frames.Put(f)
	return f.call(db, op, request)
}

func (f *frame) call(db DB, op uint32, request []byte) ([]byte, error) {
	status := C.bridge_call(C.uintptr_t(db), C.uint32_t(op), first(request), C.size_t(len(request)), first(f.out[:]), outSize, &f.answer)
	if err := f.failure(status); err != nil {
		return nil, err
	}
	return f.reply(f.out[:]), nil
}

// CallBatch does the requests of a batch in order, by one commit, and answers with their replies in fresh memory.
func (db DB) CallBatch(batch []byte) ([]byte, error) {
	f := frames.Get().(*frame)
	defer frames.Put(f)
	out := batchOuts.Get().(*[batchOutSize]byte)
	defer batchOuts.Put(out)
	status := C.bridge_call_batch(C.uintptr_t(db), first(batch), C.size_t(len(batch)), first(out[:]), batchOutSize, &f.answer)
	if err := f.failure(status); err != nil {
		return nil, err
	}
	return f.reply(out[:]), nil
}
