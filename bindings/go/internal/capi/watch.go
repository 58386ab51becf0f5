package capi

/*
#include "bridge.h"
*/
import "C"

import (
	"io"
	"unsafe"

	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// A Watch is a position in the history of a range of keys.
type Watch uintptr

// Watch begins a watch: whatever is written after it returns will be told. The request is a WatchCreateRequest. The second
// result is 0 but for a start that is compacted: then it is the first revision that is not.
func (db DB) Watch(request []byte) (Watch, int64, error) {
	f := shortCall()
	defer f.done()
	status := C.bridge_watch_create(C.uintptr_t(db), first(request), C.size_t(len(request)), &f.answer)
	if err := f.failure(status); err != nil {
		return 0, f.compacted(status), err
	}
	return Watch(f.answer.handle), 0, nil
}

// Next is the next WatchResponse, in fresh memory, of about bytesMax at most, but a revision is never split. It never blocks: if
// there is nothing it is nil, and the watch's poller will tell when there is. The second result is as Watch has it. The error is
// io.EOF once a store that is open for reading has told all it holds.
// One goroutine at a time may call it.
func (w Watch) Next(bytesMax int) ([]byte, int64, error) {
	f := shortCall()
	defer f.done()
	status := C.bridge_watch_next(C.uintptr_t(w), C.size_t(bytesMax), first(f.out[:]), outSize, &f.answer)
	if err := f.failure(status); err != nil {
		return nil, f.compacted(status), err
	}
	switch status {
	case rpctypes.StatusTimeout:
		return nil, 0, nil
	case rpctypes.StatusEnd:
		return nil, 0, io.EOF
	}
	return f.reply(f.out[:]), 0, nil
}

func (f *frame) compacted(status C.int32_t) int64 {
	if status == rpctypes.StatusCompacted {
		return int64(f.answer.err.detail)
	}
	return 0
}

// Progress is the revision up to which everything was returned by Next.
func (w Watch) Progress() (int64, error) {
	f := shortCall()
	defer f.done()
	status := C.bridge_watch_progress(C.uintptr_t(w), &f.answer)
	return int64(f.answer.number), f.failure(status)
}

// Free ends the watch.
func (w Watch) Free() {
	shortCalls.enter()
	defer shortCalls.leave()
	C.bridge_watch_free(C.uintptr_t(w))
}

// A Poller tells which of many watches have something.
type Poller uintptr

// Poller makes one. It must be freed.
func (db DB) Poller() (Poller, error) {
	f := shortCall()
	defer f.done()
	status := C.bridge_poller_new(C.uintptr_t(db), &f.answer)
	return Poller(f.answer.handle), f.failure(status)
}

// FD is a descriptor that becomes readable when a watch has something. It is the poller's own and must not be closed.
func (p Poller) FD() (int, error) {
	f := shortCall()
	defer f.done()
	status := C.bridge_poller_fd(C.uintptr_t(p), &f.answer)
	return int(f.answer.number), f.failure(status)
}

// Add lets the poller tell of a watch, by a number; at once, if it has something already.
func (p Poller) Add(w Watch, cookie uint64) error {
	f := shortCall()
	defer f.done()
	return f.failure(C.bridge_poller_add(C.uintptr_t(p), C.uintptr_t(w), C.uint64_t(cookie), &f.answer))
}

// Drain writes the numbers of watches that have something, and says how many. Each is told once, and again only after its
// Next had nothing. It does not block, and does not wait at the gate, as everybody else may be waiting for it. One goroutine at a
// time may call it.
func (p Poller) Drain(cookies []uint64) (int, error) {
	f := frames.Get().(*frame)
	defer frames.Put(f)
	place := (*C.uint64_t)(unsafe.Pointer(unsafe.SliceData(cookies)))
	status := C.bridge_poller_drain(C.uintptr_t(p), place, C.size_t(len(cookies)), &f.answer)
	if err := f.failure(status); err != nil || status == rpctypes.StatusTimeout {
		return 0, err
	}
	return int(f.answer.len), nil
}

// Free ends the poller. Its watches stay.
func (p Poller) Free() {
	C.bridge_poller_free(C.uintptr_t(p))
}
