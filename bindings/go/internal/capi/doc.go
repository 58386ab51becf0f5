// Package capi is the door to the C library: the only package with cgo.
//
// A handle is a token of the library and not an address: here it is a number, so that Go's collector never looks at it. Using one
// after it was freed, or while another thread frees it, is defined: the library answers MISUSE or CLOSED. No lock is needed
// for a call, then, and there is nothing to keep alive by runtime.KeepAlive.
//
// Bytes go in by the address of a slice or string and are copied by the library before it returns; what comes out is copied into
// fresh Go memory. C never keeps a pointer into Go, nor Go one into C. Pointers are typed *C.uint8_t, since those need no check
// at run time, and no function of the library calls back into Go, which the directives in cgo.go rely on.
//
// Nothing blocks in C but a commit and what waits for one (first renewals, questions about leases), a sync, a physical
// compaction, an opening, a closing and a backup. How many other calls are inside at a time is bounded: see gate.
package capi
