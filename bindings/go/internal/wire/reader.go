package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// ErrMalformed is what every error of decoding is, by errors.Is.
var ErrMalformed = errors.New("wire: malformed message")

// TxnDepthMax bounds how many txns lie within one another, and how deep an unknown group is: the library accepts no more.
const TxnDepthMax = 128

// A reader walks the fields of one message. The first error stays and ends the walk.
type reader struct {
	rest  []byte
	field uint32
	kind  uint32
	err   error
}

// next moves to the next field, whose value must be read or skipped before the next call.
func (r *reader) next() bool {
	if r.err != nil || len(r.rest) == 0 {
		return false
	}
	tag := r.varint()
	if r.err != nil {
		return false
	}
	if tag > math.MaxUint32 || tag>>3 == 0 {
		r.fail("field number %d", tag>>3)
		return false
	}
	r.field, r.kind = uint32(tag>>3), uint32(tag&7)
	return true
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
	r.rest = nil
}

func (r *reader) varint() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		v := uint64(r.rest[0])
		r.rest = r.rest[1:]
		return v
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail("an integer is cut off or too long")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) want(kind uint32) bool {
	if r.kind != kind {
		r.fail("field %d has wire type %d", r.field, r.kind)
	}
	return r.err == nil
}

func (r *reader) uint() uint64 {
	if !r.want(kindVarint) {
		return 0
	}
	return r.varint()
}

func (r *reader) int() int64   { return int64(r.uint()) }
func (r *reader) int32() int32 { return int32(r.uint()) }
func (r *reader) bool() bool   { return r.uint() != 0 }

// bytes is the field's value within the message, nil if empty. Appending to it does not reach what follows.
func (r *reader) bytes() []byte {
	if !r.want(kindBytes) {
		return nil
	}
	length := r.varint()
	if r.err != nil {
		return nil
	}
	if length > uint64(len(r.rest)) {
		r.fail("field %d is cut off", r.field)
		return nil
	}
	v := r.rest[:length:length]
	r.rest = r.rest[length:]
	if length == 0 {
		return nil
	}
	return v
}

func (r *reader) text() string {
	v := r.bytes()
	if !utf8.Valid(v) {
		r.fail("field %d is not UTF-8", r.field)
		return ""
	}
	return string(v)
}

func (r *reader) skip() {
	r.skipWithin(0)
}

func (r *reader) skipWithin(depth int) {
	switch r.kind {
	case kindVarint:
		r.varint()
	case kind64:
		r.drop(8)
	case kind32:
		r.drop(4)
	case kindBytes:
		r.bytes()
	case kindStart:
		r.skipGroup(depth)
	default:
		r.fail("field %d has wire type %d", r.field, r.kind)
	}
}

func (r *reader) drop(length int) {
	if len(r.rest) < length {
		r.fail("field %d is cut off", r.field)
		return
	}
	r.rest = r.rest[length:]
}

func (r *reader) skipGroup(depth int) {
	group := r.field
	if depth >= TxnDepthMax {
		r.fail("groups are nested too deep")
		return
	}
	for r.next() {
		if r.kind == kindEnd {
			if r.field != group {
				r.fail("group %d ends as %d", group, r.field)
			}
			return
		}
		r.skipWithin(depth + 1)
	}
	r.fail("group %d has no end", group)
}

// count is how often a field occurs in a message, as far as it is well-formed.
func count(b []byte, field uint32) int {
	r := reader{rest: b}
	n := 0
	for r.next() {
		if r.field == field {
			n++
		}
		r.skip()
	}
	return n
}

// decoder is what every message's pointer is.
type decoder[T any] interface {
	*T
	Decode(b []byte) error
}

// sub decodes a message within the message into *m, which is made if there was none yet.
func sub[T any, P decoder[T]](r *reader, m **T) {
	b := r.bytes()
	if r.err != nil {
		return
	}
	if *m == nil {
		*m = new(T)
	}
	r.err = P(*m).Decode(b)
}
