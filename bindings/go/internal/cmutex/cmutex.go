// Package cmutex is the C library's lock, for tests of locks that are taken from several languages at once. In a program of
// Go's own it would cost a thread for each who waits; package concurrency does not.
package cmutex

// #cgo CFLAGS: -I${SRCDIR}/../capi
// #include "etclite.h"
//
// static int32_t open_mutex(uintptr_t db, const uint8_t *name, size_t len, etclite_session **session, etclite_mutex **mutex,
//                           etclite_error *err) {
//   int32_t status = etclite_session_open((const etclite_db *)db, NULL, session, err);
//   return status < 0 ? status : etclite_mutex_new(*session, name, len, mutex, err);
// }
import "C"

import (
	"unsafe"

	"github.com/etclite/etclite/bindings/go/internal/capi"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// A Mutex is a lock with a session of its own.
type Mutex struct {
	session *C.etclite_session
	mutex   *C.etclite_mutex
}

func failure(status C.int32_t, err *C.etclite_error) error {
	return rpctypes.FromStatus(int32(status), int64(err.detail), C.GoString(&err.message[0]))
}

// New opens a session on a store, and the lock of that name.
func New(db capi.DB, name string) (*Mutex, error) {
	var m Mutex
	var err C.etclite_error
	bytes := (*C.uint8_t)(unsafe.Pointer(unsafe.StringData(name)))
	status := C.open_mutex(C.uintptr_t(db), bytes, C.size_t(len(name)), &m.session, &m.mutex, &err)
	return &m, failure(status, &err)
}

// Lock waits for the lock, for ever, in the calling thread.
func (m *Mutex) Lock() error {
	var err C.etclite_error
	return failure(C.etclite_mutex_lock(m.mutex, -1, &err), &err)
}

// Unlock gives it back.
func (m *Mutex) Unlock() error {
	var err C.etclite_error
	return failure(C.etclite_mutex_unlock(m.mutex, &err), &err)
}

// Close frees both.
func (m *Mutex) Close() error {
	C.etclite_mutex_free(m.mutex)
	var err C.etclite_error
	return failure(C.etclite_session_close(m.session, 1, &err), &err)
}
