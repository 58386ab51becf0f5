//go:build etclite_system && !etclite_dynamic

package capi

// An installed library, found by pkg-config.

// #cgo pkg-config: etclite
import "C"
