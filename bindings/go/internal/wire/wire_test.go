package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/etclite/etclite/bindings/go/mvccpb"
)

func TestMalformedMessagesAreErrors(t *testing.T) {
	for name, row := range map[string]struct {
		message message
		encoded string
	}{
		"a tag cut off":                {&PutRequest{}, "\x80"},
		"a tag too long":               {&PutRequest{}, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
		"field number 0":               {&PutRequest{}, "\x00\x01"},
		"a field number above 2^29":    {&PutRequest{}, "\x80\x80\x80\x80\x10\x01"},
		"a length cut off":             {&PutRequest{}, "\x0a"},
		"a key cut off":                {&PutRequest{}, "\x0a\x05k"},
		"a length above all":           {&PutRequest{}, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01k"},
		"an integer cut off":           {&PutRequest{}, "\x18\x80"},
		"an integer above 64 bits":     {&PutRequest{}, "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"},
		"a key as an integer":          {&PutRequest{}, "\x08\x01"},
		"a lease as bytes":             {&PutRequest{}, "\x1a\x01k"},
		"a header as an integer":       {&PutResponse{}, "\x08\x01"},
		"a broken header":              {&PutResponse{}, "\x0a\x01\x08"},
		"a broken key-value":           {&PutResponse{}, "\x12\x01\x0a"},
		"a broken key-value of many":   {&RangeResponse{}, "\x12\x00\x12\x01\x0a"},
		"keys as an integer":           {&RangeResponse{}, "\x12\x00\x10\x01"},
		"a broken compare":             {&TxnRequest{}, "\x0a\x01\x1a"},
		"a broken operation":           {&TxnRequest{}, "\x12\x02\x0a\x01"},
		"a broken answer":              {&TxnResponse{}, "\x1a\x02\x0a\x01"},
		"an unknown fixed one cut off": {&PutRequest{}, "\xfd\x01\x01\x02"},
		"an unknown wide one cut off":  {&PutRequest{}, "\xf9\x01\x01\x02"},
		"a group without an end":       {&PutRequest{}, "\xfb\x01\x08\x01"},
		"a group that ends as another": {&PutRequest{}, "\xfb\x01\x84\x02"},
		"an end without a group":       {&PutRequest{}, "\xfc\x01"},
		"wire type 6":                  {&PutRequest{}, "\xfe\x01"},
		"a text that is not UTF-8":     {&LeaseGrantResponse{}, "\x22\x01\xff"},
		"filters cut off":              {&WatchCreateRequest{}, "\x2a\x01\x80"},
		"filters as a fixed one":       {&WatchCreateRequest{}, "\x2d\x01\x00\x00\x00"},
		"a broken event":               {&WatchResponse{}, "\x5a\x01\x12"},
		"an event as an integer":       {&WatchResponse{}, "\x5a\x00\x58\x01"},
	} {
		if err := row.message.Decode([]byte(row.encoded)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	unknown := "\xf8\x01\x80\x01" + "\xf9\x01\x00\x00\x00\x00\x00\x00\x00\x00" + "\xfa\x01\x03abc" + "\xfd\x01\x00\x00\x00\x00" +
		"\xfb\x01\x08\x01\x13\x14\xfc\x01"
	for name, make := range messages {
		m := make()
		if err := m.Decode([]byte(unknown)); err != nil || len(m.Append(nil)) != 0 {
			t.Errorf("%s: %v, %x", name, err, m.Append(nil))
		}
	}
	put := PutRequest{}
	if err := put.Decode([]byte(unknown + "\x0a\x01k" + unknown)); err != nil || string(put.Key) != "k" {
		t.Errorf("%v, key %q", err, put.Key)
	}
}

func TestFieldsThatComeTwice(t *testing.T) {
	put := PutRequest{}
	if err := put.Decode([]byte("\x0a\x01a\x0a\x01b\x18\x01\x18\x02")); err != nil || string(put.Key) != "b" || put.Lease != 2 {
		t.Errorf("%v, %+v: the last one counts", err, put)
	}
	answer := PutResponse{}
	want := &ResponseHeader{MemberId: 7, Revision: 9}
	if err := answer.Decode([]byte("\x0a\x02\x10\x07\x0a\x02\x18\x09")); err != nil || !reflect.DeepEqual(answer.Header, want) {
		t.Errorf("%v, %+v: a message is merged", err, answer.Header)
	}
	op := RequestOp{}
	if err := op.Decode([]byte("\x0a\x03\x0a\x01a\x12\x03\x0a\x01b")); err != nil || op.Range != nil || string(op.Put.Key) != "b" {
		t.Errorf("%v, %+v: the last member of a oneof counts", err, op)
	}
	compare := Compare{}
	if err := compare.Decode([]byte("\x3a\x01v\x20\x05")); err != nil || compare.Operand != OperandVersion || compare.Value != nil || compare.Int != 5 {
		t.Errorf("%v, %+v: the last member of a oneof counts", err, compare)
	}
	watch := WatchCreateRequest{}
	if err := watch.Decode([]byte("\x28\x00\x2a\x02\x01\x00")); err != nil || !reflect.DeepEqual(watch.Filters, []int32{0, 1, 0}) {
		t.Errorf("%v, %+v: packed and not", err, watch.Filters)
	}
}

// nested is a txn with so many levels, encoded by hand so that no recursion of ours is needed.
func nested(levels int, ops uint32) []byte {
	var b []byte
	for range levels - 1 {
		op := append(binary.AppendUvarint([]byte{4<<3 | 2}, uint64(len(b))), b...)
		b = append(binary.AppendUvarint([]byte{byte(ops<<3 | 2)}, uint64(len(op))), op...)
	}
	return b
}

func TestNestingIsBounded(t *testing.T) {
	for _, row := range []struct {
		message message
		ops     uint32
	}{{&TxnRequest{}, 2}, {&TxnRequest{}, 3}, {&TxnResponse{}, 3}} {
		within := nested(TxnDepthMax, row.ops)
		if err := row.message.Decode(within); err != nil {
			t.Errorf("%d levels: %v", TxnDepthMax, err)
		}
		if again := row.message.Append(nil); !bytes.Equal(again, within) {
			t.Error("the levels are not written as they were read")
		}
		for _, levels := range []int{TxnDepthMax + 1, 5000} {
			if err := row.message.Decode(nested(levels, row.ops)); !errors.Is(err, ErrMalformed) {
				t.Errorf("%d levels: %v", levels, err)
			}
		}
	}
	groups := strings.Repeat("\xfb\x01", 100_000)
	if err := (&PutRequest{}).Decode([]byte(groups)); !errors.Is(err, ErrMalformed) {
		t.Errorf("groups: %v", err)
	}
}

func TestLengthsOfEverySizeAreMadeLonger(t *testing.T) {
	for _, length := range []int{0, 1, 120, 126, 127, 128, 129, 16_000, 16_383, 16_384, 1 << 21, 1<<21 + 3} {
		value := bytes.Repeat([]byte{'v'}, length)
		inner := TxnRequest{Success: []RequestOp{{Put: &PutRequest{Key: []byte("k"), Value: value}}}}
		outer := TxnRequest{Failure: []RequestOp{{Txn: &inner}, {Put: &PutRequest{Key: []byte("end")}}}}
		got := TxnRequest{}
		if err := got.Decode(outer.Append(nil)); err != nil {
			t.Fatalf("%d: %v", length, err)
		}
		put := got.Failure[0].Txn.Success[0].Put
		if !bytes.Equal(put.Value, value) || string(got.Failure[1].Put.Key) != "end" {
			t.Errorf("%d bytes came back as %d", length, len(put.Value))
		}
	}
}

func TestSlicesOfOneBlockDoNotOverlap(t *testing.T) {
	encoded := (&RangeResponse{Kvs: []*mvccpb.KeyValue{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b")}}}).Append(nil)
	answer := RangeResponse{}
	if err := answer.Decode(encoded); err != nil {
		t.Fatal(err)
	}
	_ = append(answer.Kvs[0].Key, "overwritten"...)
	if string(answer.Kvs[0].Value) != "1" || string(answer.Kvs[1].Key) != "b" {
		t.Error("appending to a key reached what follows it")
	}
	if &answer.Kvs[0].Key[0] != &encoded[4] {
		t.Error("the key was copied")
	}
}

func TestEncodingAPutAllocatesNothing(t *testing.T) {
	buffer := make([]byte, 0, 4096)
	key, value := []byte("/registry/pods/default/web-0"), bytes.Repeat([]byte{'v'}, 256)
	if n := testing.AllocsPerRun(100, func() {
		put := PutRequest{Key: key, Value: value, Lease: 0x694d7ffffffffff0}
		buffer = put.Append(buffer[:0])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		b, start := Open(buffer[:0], 2)
		op, inner := Open(b, 2)
		put := PutRequest{Key: key, Value: value}
		buffer = Close(Close(put.Append(op), inner), start)
	}); n != 0 {
		t.Errorf("%v allocations within a txn", n)
	}
}

func BenchmarkEncodePut(b *testing.B) {
	buffer := make([]byte, 0, 4096)
	key, value := []byte("/registry/pods/default/web-0"), bytes.Repeat([]byte{'v'}, 256)
	b.ReportAllocs()
	for b.Loop() {
		put := PutRequest{Key: key, Value: value, Lease: 0x694d7ffffffffff0}
		buffer = put.Append(buffer[:0])
	}
}

func BenchmarkDecodePutResponse(b *testing.B) {
	encoded := (&PutResponse{Header: &ResponseHeader{ClusterId: 1 << 63, MemberId: 1 << 62, Revision: 1 << 30, RaftTerm: 1}}).Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		answer := PutResponse{}
		if err := answer.Decode(encoded); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeRange100(b *testing.B) {
	answer := RangeResponse{Count: 100}
	for range 100 {
		answer.Kvs = append(answer.Kvs, &mvccpb.KeyValue{Key: []byte("/registry/pods/default/web-0"), CreateRevision: 1 << 20,
			ModRevision: 1 << 21, Version: 3, Value: bytes.Repeat([]byte{'v'}, 256)})
	}
	encoded := answer.Append(nil)
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	for b.Loop() {
		answer := RangeResponse{}
		if err := answer.Decode(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
