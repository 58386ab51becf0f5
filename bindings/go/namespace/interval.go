package namespace

import (
	"bytes"

	etclite "github.com/etclite/etclite/bindings/go"
)

// A prefix is put before keys.
type prefix string

// interval is a key, or a range of keys, as the store has it.
func (p prefix) interval(key, end []byte) (wholeKey, wholeEnd []byte) {
	wholeKey = append([]byte(p), key...)
	switch {
	case len(end) == 1 && end[0] == 0:
		wholeEnd = []byte(etclite.GetPrefixRangeEnd(string(p)))
	case len(end) > 0:
		wholeEnd = append([]byte(p), end...)
	}
	return wholeKey, wholeEnd
}

// has tells whether a key of the store is one of the namespace.
func (p prefix) has(key []byte) bool {
	return bytes.HasPrefix(key, []byte(p))
}

// strip is a key of the store as the namespace has it.
func (p prefix) strip(key []byte) []byte {
	return key[len(p):]
}
