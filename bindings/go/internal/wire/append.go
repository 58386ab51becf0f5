package wire

import (
	"encoding/binary"
	"math/bits"
)

// The wire types of protobuf.
const (
	kindVarint = 0
	kind64     = 1
	kindBytes  = 2
	kindStart  = 3
	kindEnd    = 4
	kind32     = 5
)

func appendTag(b []byte, field, kind uint32) []byte {
	return binary.AppendUvarint(b, uint64(field<<3|kind))
}

func appendUint(b []byte, field uint32, v uint64) []byte {
	if v == 0 {
		return b
	}
	return binary.AppendUvarint(appendTag(b, field, kindVarint), v)
}

func appendInt(b []byte, field uint32, v int64) []byte {
	return appendUint(b, field, uint64(v))
}

func appendBool(b []byte, field uint32, v bool) []byte {
	if !v {
		return b
	}
	return append(appendTag(b, field, kindVarint), 1)
}

func appendBytes[T []byte | string](b []byte, field uint32, v T) []byte {
	if len(v) == 0 {
		return b
	}
	return appendPresent(b, field, v)
}

// appendPresent writes a value that is told though it may be empty.
func appendPresent[T []byte | string](b []byte, field uint32, v T) []byte {
	b = binary.AppendUvarint(appendTag(b, field, kindBytes), uint64(len(v)))
	return append(b, v...)
}

// Open begins a message within a message; what is appended until Close is its contents. The second result is for Close.
func Open(b []byte, field uint32) ([]byte, int) {
	b = append(appendTag(b, field, kindBytes), 0)
	return b, len(b)
}

// Close ends what Open began: it writes the length before the contents, moving these if it needs more than a byte.
func Close(b []byte, start int) []byte {
	length := len(b) - start
	if length < 0x80 {
		b[start-1] = byte(length)
		return b
	}
	more := (bits.Len(uint(length)) - 1) / 7
	for range more {
		b = append(b, 0)
	}
	copy(b[start+more:], b[start:start+length])
	binary.PutUvarint(b[start-1:], uint64(length))
	return b
}
