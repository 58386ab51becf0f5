//go:build !etclite_system && !etclite_dynamic

package capi

// The archive by its full path: the linker cannot take a shared library of that name instead. Its absence is told by
// bridge.h, which the macro asks to look.

// #cgo CFLAGS: -DETCLITE_ARCHIVE
// #cgo linux,amd64 LDFLAGS: ${SRCDIR}/../lib/linux_amd64/libetclite.a
// #cgo linux,arm64 LDFLAGS: ${SRCDIR}/../lib/linux_arm64/libetclite.a
// #cgo darwin,amd64 LDFLAGS: ${SRCDIR}/../lib/darwin_amd64/libetclite.a
// #cgo darwin,arm64 LDFLAGS: ${SRCDIR}/../lib/darwin_arm64/libetclite.a
// #cgo linux LDFLAGS: -lpthread -lm -ldl
import "C"
