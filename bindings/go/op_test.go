package etclite

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/etclite/etclite/bindings/go/internal/wire"
)

// request is the message that an operation is encoded as.
func request[T any, P answer[T]](t *testing.T, op Op) T {
	t.Helper()
	var m T
	if err := P(&m).Decode(op.encoded()); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestOptionsOfAGet(t *testing.T) {
	for name, row := range map[string]struct {
		op   Op
		want wire.RangeRequest
	}{
		"one key": {OpGet("k"), wire.RangeRequest{Key: []byte("k")}},
		"everything": {
			OpGet("a", WithRange("b"), WithLimit(5), WithRev(9), WithSort(SortByModRevision, SortDescend), WithSerializable(),
				WithKeysOnly(), WithCountOnly(), WithMinModRev(1), WithMaxModRev(2), WithMinCreateRev(3), WithMaxCreateRev(4)),
			wire.RangeRequest{Key: []byte("a"), RangeEnd: []byte("b"), Limit: 5, Revision: 9, SortOrder: 2, SortTarget: 3,
				Serializable: true, KeysOnly: true, CountOnly: true, MinModRevision: 1, MaxModRevision: 2, MinCreateRevision: 3,
				MaxCreateRevision: 4},
		},
		"prefix":                      {OpGet("ab", WithPrefix()), wire.RangeRequest{Key: []byte("ab"), RangeEnd: []byte("ac")}},
		"prefix of nothing":           {OpGet("", WithPrefix()), wire.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}},
		"prefix that ends in 0xff":    {OpGet("a\xff\xff", WithPrefix()), wire.RangeRequest{Key: []byte("a\xff\xff"), RangeEnd: []byte("b")}},
		"prefix of 0xff alone":        {OpGet("\xff", WithPrefix()), wire.RangeRequest{Key: []byte{0xff}, RangeEnd: []byte{0}}},
		"from a key":                  {OpGet("b", WithFromKey()), wire.RangeRequest{Key: []byte("b"), RangeEnd: []byte{0}}},
		"from the beginning":          {OpGet("", WithFromKey()), wire.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}},
		"by key ascending is dropped": {OpGet("a", WithSort(SortByKey, SortAscend)), wire.RangeRequest{Key: []byte("a")}},
		"by key descending":           {OpGet("a", WithSort(SortByKey, SortDescend)), wire.RangeRequest{Key: []byte("a"), SortOrder: 2}},
		"by value ascending":          {OpGet("a", WithSort(SortByValue, SortAscend)), wire.RangeRequest{Key: []byte("a"), SortOrder: 1, SortTarget: 4}},
		"a lease is ignored":          {OpGet("a", WithLease(3)), wire.RangeRequest{Key: []byte("a")}},
		"first created":               {OpGet("p/", WithFirstCreate()...), top(2, 1)},
		"last created":                {OpGet("p/", WithLastCreate()...), top(2, 2)},
		"first key":                   {OpGet("p/", WithFirstKey()...), top(0, 0)},
		"last key":                    {OpGet("p/", WithLastKey()...), top(0, 2)},
		"first changed":               {OpGet("p/", WithFirstRev()...), top(3, 1)},
		"last changed":                {OpGet("p/", WithLastRev()...), top(3, 2)},
	} {
		if got := request[wire.RangeRequest](t, row.op); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s:\n%+v\ninstead of\n%+v", name, got, row.want)
		}
	}
}

func top(target, order int32) wire.RangeRequest {
	return wire.RangeRequest{Key: []byte("p/"), RangeEnd: []byte("p0"), Limit: 1, SortTarget: target, SortOrder: order}
}

func TestOptionsOfPutsAndDeletes(t *testing.T) {
	put := OpPut("k", "v", WithLease(7), WithPrevKV(), WithIgnoreValue(), WithIgnoreLease(), WithKeysOnly())
	want := wire.PutRequest{Key: []byte("k"), Value: []byte("v"), Lease: 7, PrevKv: true, IgnoreValue: true, IgnoreLease: true}
	if got := request[wire.PutRequest](t, put); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	del := OpDelete("k", WithPrefix(), WithPrevKV())
	wantDelete := wire.DeleteRangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), PrevKv: true}
	if got := request[wire.DeleteRangeRequest](t, del); !reflect.DeepEqual(got, wantDelete) {
		t.Errorf("%+v", got)
	}
}

func TestOptionsOfAWatch(t *testing.T) {
	op := OpWatch("k", WithPrefix(), WithRev(4), WithPrevKV(), WithFilterPut(), WithFilterDelete(), WithProgressNotify(),
		WithCreatedNotify(), WithFragment())
	want := wire.WatchCreateRequest{Key: []byte("k"), RangeEnd: []byte("l"), StartRevision: 4, Filters: []int32{0, 1}, PrevKv: true}
	if got := op.watchRequest(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if !op.IsCreatedNotify() || !op.IsProgressNotify() || !op.IsFilterPut() || !op.IsFilterDelete() || !op.IsFragment() {
		t.Error("an option of the watch is not told")
	}
}

// As etcd's client: what makes no sense is a panic with these words.
func TestOptionsThatAreRefused(t *testing.T) {
	rows := map[string][]OpOption{
		"limit":                  {WithLimit(1)},
		"revision":               {WithRev(1)},
		"sort":                   {WithSort(SortByKey, SortAscend)},
		"serializable":           {WithSerializable()},
		"countOnly":              {WithCountOnly()},
		"mod revision filter":    {WithMinModRev(1), WithMaxModRev(1)},
		"create revision filter": {WithMinCreateRev(1), WithMaxCreateRev(1)},
		"filter":                 {WithFilterPut(), WithFilterDelete()},
		"createdNotify":          {WithCreatedNotify()},
		"range":                  {WithRange("z"), WithPrefix(), WithFromKey()},
		"lease":                  {WithLease(1)},
	}
	makes := map[string]func(OpOption){
		"put":    func(opt OpOption) { OpPut("k", "v", opt) },
		"delete": func(opt OpOption) { OpDelete("k", opt) },
		"watch":  func(opt OpOption) { OpWatch("k", opt) },
	}
	allowed := map[string]bool{"put lease": true, "delete range": true, "watch range": true, "watch revision": true,
		"watch filter": true, "watch createdNotify": true}
	for what, opts := range rows {
		for verb, make := range makes {
			for _, opt := range opts {
				var want any
				if !allowed[verb+" "+what] {
					want = fmt.Sprintf("unexpected %s in %s", what, verb)
				}
				if got := panicOf(func() { make(opt) }); got != want {
					t.Errorf("%v instead of %v", got, want)
				}
			}
		}
	}
	both := []OpOption{WithPrefix(), WithFromKey()}
	want := "`WithPrefix` and `WithFromKey` cannot be set at the same time, choose one"
	if got := panicOf(func() { OpGet("k", both...) }); got != want {
		t.Errorf("%v", got)
	}
	if got := panicOf(func() { OpDelete("k", both...) }); got != want {
		t.Errorf("%v", got)
	}
}

func TestEndOfAPrefix(t *testing.T) {
	for prefix, want := range map[string]string{"": "\x00", "a": "b", "a\xff": "b", "\xff\xff": "\x00", "a\x00": "a\x01", "\xfe\xff": "\xff"} {
		if got := GetPrefixRangeEnd(prefix); got != want {
			t.Errorf("%q ends at %q instead of %q", prefix, got, want)
		}
	}
	if !IsOptsWithPrefix(WithFirstKey()) || IsOptsWithPrefix([]OpOption{WithFromKey()}) || IsOptsWithPrefix(nil) {
		t.Error("WithPrefix is not told")
	}
	if !IsOptsWithFromKey([]OpOption{WithFromKey()}) || IsOptsWithFromKey(WithFirstKey()) {
		t.Error("WithFromKey is not told")
	}
}

func TestWhatAnOperationTellsOfItself(t *testing.T) {
	get := OpGet("a", WithRange("b"), WithLimit(5), WithRev(9), WithSort(SortByKey, SortAscend), WithSerializable(), WithKeysOnly(),
		WithCountOnly(), WithMinModRev(1), WithMaxModRev(2), WithMinCreateRev(3), WithMaxCreateRev(4))
	if !get.IsGet() || get.IsPut() || get.IsDelete() || get.IsTxn() || !get.IsSortSet() || !get.IsSerializable() ||
		!get.IsKeysOnly() || !get.IsCountOnly() || get.IsPrevKV() || get.IsOptsWithPrefix() || get.IsOptsWithFromKey() {
		t.Errorf("%+v", get)
	}
	if get.Limit() != 5 || get.Rev() != 9 || get.MinModRev() != 1 || get.MaxModRev() != 2 || get.MinCreateRev() != 3 || get.MaxCreateRev() != 4 {
		t.Errorf("%+v", get)
	}
	if string(get.KeyBytes()) != "a" || string(get.RangeBytes()) != "b" {
		t.Errorf("%+v", get)
	}
	put := OpPut("k", "v")
	put.WithKeyBytes([]byte("pfx/k"))
	put.WithValueBytes([]byte("w"))
	put.WithRangeBytes(nil)
	if got := request[wire.PutRequest](t, put); string(got.Key) != "pfx/k" || string(got.Value) != "w" || string(put.ValueBytes()) != "w" {
		t.Errorf("%+v", got)
	}
	txn := OpTxn([]Cmp{Compare(Version("k"), "=", 0)}, []Op{put}, []Op{get})
	cmps, thens, elses := txn.Txn()
	if !txn.IsTxn() || len(cmps) != 1 || !thens[0].IsPut() || !elses[0].IsGet() {
		t.Errorf("%+v", txn)
	}
}

func TestSortOptionsThatDoNotExist(t *testing.T) {
	for _, op := range []Op{OpGet("k", WithSort(SortByKey, SortDescend+1)), OpGet("k", WithSort(SortByValue+1, SortNone)), OpGet("k", WithSort(-1, SortNone))} {
		if op.IsSortOptionValid() {
			t.Errorf("%+v", *op.sort)
		}
	}
	if !OpGet("k").IsSortOptionValid() || !OpGet("k", WithSort(SortByValue, SortDescend)).IsSortOptionValid() {
		t.Error("a sort that exists is refused")
	}
}

func TestATxnIsEncodedAsItsMessage(t *testing.T) {
	long := string(bytes.Repeat([]byte{'v'}, 5000))
	inner := OpTxn([]Cmp{Compare(Value("i"), ">", "x")}, []Op{OpPut("i", long)}, nil)
	op := OpTxn([]Cmp{Compare(CreateRevision("k"), "=", 0), Compare(Version("k"), "!=", 3).WithPrefix()},
		[]Op{OpPut("k", "v", WithLease(7)), OpGet("k"), inner}, []Op{OpDelete("k"), OpGet("a", WithFirstCreate()...)})
	get := top(2, 1)
	get.Key, get.RangeEnd = []byte("a"), []byte("b")
	want := wire.TxnRequest{
		Compare: []wire.Compare{
			{Target: 1, Key: []byte("k"), Operand: wire.OperandCreateRevision},
			{Result: 3, Key: []byte("k"), Operand: wire.OperandVersion, Int: 3, RangeEnd: []byte("l")},
		},
		Success: []wire.RequestOp{
			{Put: &wire.PutRequest{Key: []byte("k"), Value: []byte("v"), Lease: 7}},
			{Range: &wire.RangeRequest{Key: []byte("k")}},
			{Txn: &wire.TxnRequest{
				Compare: []wire.Compare{{Result: 1, Target: 3, Key: []byte("i"), Operand: wire.OperandValue, Value: []byte("x")}},
				Success: []wire.RequestOp{{Put: &wire.PutRequest{Key: []byte("i"), Value: []byte(long)}}},
			}},
		},
		Failure: []wire.RequestOp{{DeleteRange: &wire.DeleteRangeRequest{Key: []byte("k")}}, {Range: &get}},
	}
	if got := op.encoded(); !bytes.Equal(got, want.Append(nil)) {
		t.Errorf("%x", got)
	}
	if hint := op.sizeHint(); hint < len(op.encoded()) {
		t.Errorf("%d bytes are too few for %d", hint, len(op.encoded()))
	}
}
