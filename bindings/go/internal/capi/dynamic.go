//go:build etclite_dynamic

package capi

// A shared library that the linker finds by itself.

// #cgo LDFLAGS: -letclite
import "C"
