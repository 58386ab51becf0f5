package wire

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// FuzzDecode gives the same bytes to a message of each kind: none panics, and what is accepted is written so that it is
// read back as the same.
func FuzzDecode(f *testing.F) {
	vectors, _ := filepath.Glob("testdata/golden/*/*.bin")
	if len(vectors) == 0 {
		f.Fatal("there are no golden vectors")
	}
	for _, vector := range vectors {
		encoded, err := os.ReadFile(vector)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
		f.Add(encoded[:len(encoded)/2])
	}
	f.Add(nested(TxnDepthMax+1, 3))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		for name, empty := range messages {
			first := empty()
			given := slices.Clone(encoded)
			if first.Decode(given) != nil {
				continue
			}
			canonical := first.Append(nil)
			second := empty()
			if err := second.Decode(canonical); err != nil {
				t.Fatalf("%s: %x is written as %x, which is refused: %v", name, encoded, canonical, err)
			}
			if again := second.Append(nil); !bytes.Equal(again, canonical) {
				t.Fatalf("%s: %x is written as %x and then as %x", name, encoded, canonical, again)
			}
			if shown, want := fields(reflect.ValueOf(second).Elem()), fields(reflect.ValueOf(first).Elem()); !reflect.DeepEqual(shown, want) {
				t.Fatalf("%s: %x is read as %v and then as %v", name, encoded, want, shown)
			}
			if !bytes.Equal(given, encoded) {
				t.Fatalf("%s: decoding wrote to what it was given", name)
			}
		}
	})
}

// FuzzPut writes puts of all kinds and reads them back.
func FuzzPut(f *testing.F) {
	f.Add([]byte("q1mi"), []byte("dsb"), int64(0), false, false, false)
	f.Add([]byte(""), bytes.Repeat([]byte{0xff}, 300), int64(-1), true, true, true)
	f.Add([]byte{0}, []byte{}, int64(1)<<62, false, true, false)
	f.Fuzz(func(t *testing.T, key, value []byte, lease int64, prev, ignoreValue, ignoreLease bool) {
		put := PutRequest{Key: key, Value: value, Lease: lease, PrevKv: prev, IgnoreValue: ignoreValue, IgnoreLease: ignoreLease}
		txn := TxnRequest{Success: []RequestOp{{Put: &put}}, Failure: []RequestOp{{Txn: &TxnRequest{Success: []RequestOp{{Put: &put}}}}}}
		got := TxnRequest{}
		if err := got.Decode(txn.Append([]byte("before"))[len("before"):]); err != nil {
			t.Fatal(err)
		}
		for _, back := range []*PutRequest{got.Success[0].Put, got.Failure[0].Txn.Success[0].Put} {
			if !bytes.Equal(back.Key, key) || !bytes.Equal(back.Value, value) || back.Lease != lease || back.PrevKv != prev ||
				back.IgnoreValue != ignoreValue || back.IgnoreLease != ignoreLease {
				t.Fatalf("%+v came back as %+v", put, back)
			}
		}
	})
}
