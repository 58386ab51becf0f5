//go:build !cgo

package capi

// The store is a C library. Without cgo there is none, and this line is where the compiler says so.
var _ = etclite_needs_cgo__set_CGO_ENABLED_to_1_and_have_a_C_compiler
