package etclite

import (
	"reflect"
	"testing"

	"github.com/etclite/etclite/bindings/go/internal/wire"
)

func TestComparesOfEveryTarget(t *testing.T) {
	k := []byte("k")
	for _, row := range []struct {
		cmp  Cmp
		want wire.Compare
	}{
		{Compare(Version("k"), "=", 1), wire.Compare{Key: k, Operand: 4, Int: 1}},
		{Compare(CreateRevision("k"), "!=", int64(2)), wire.Compare{Result: 3, Target: 1, Key: k, Operand: 5, Int: 2}},
		{Compare(ModRevision("k"), ">", 0), wire.Compare{Result: 1, Target: 2, Key: k, Operand: 6}},
		{Compare(Value("k"), "<", "v"), wire.Compare{Result: 2, Target: 3, Key: k, Operand: 7, Value: []byte("v")}},
		{Compare(LeaseValue("k"), "=", LeaseID(9)), wire.Compare{Target: 4, Key: k, Operand: 8, Int: 9}},
		{Compare(LeaseValue("k"), "=", NoLease), wire.Compare{Target: 4, Key: k, Operand: 8}},
		{Compare(LeaseValue("k"), "=", 3), wire.Compare{Target: 4, Key: k, Operand: 8, Int: 3}},
		{Compare(Version("k").WithPrefix(), "=", 1), wire.Compare{Key: k, Operand: 4, Int: 1, RangeEnd: []byte("l")}},
		{Compare(Version("k"), "=", 1).WithRange("z"), wire.Compare{Key: k, Operand: 4, Int: 1, RangeEnd: []byte("z")}},
	} {
		if !reflect.DeepEqual(row.cmp.c, row.want) {
			t.Errorf("%+v instead of %+v", row.cmp.c, row.want)
		}
	}
}

func TestComparesThatAreRefused(t *testing.T) {
	for want, f := range map[string]func(){
		"Unknown result op":                   func() { Compare(Version("k"), "==", 1) },
		"bad compare value":                   func() { Compare(Value("k"), "=", 1) },
		"bad value 1 of type string":          func() { Compare(Version("k"), "=", "1") },
		"bad value 1 of type uint64":          func() { Compare(LeaseValue("k"), "=", uint64(1)) },
		"bad value 1 of type etclite.LeaseID": func() { Compare(ModRevision("k"), "=", LeaseID(1)) },
		"not a compare of a value":            func() { cmp := Version("k"); cmp.WithValueBytes(nil) },
	} {
		if got := panicOf(f); got != want {
			t.Errorf("%v instead of %q", got, want)
		}
	}
}

func TestAClonedCompareSharesNothing(t *testing.T) {
	cmp := Compare(Value("k"), "=", "v").WithRange("z")
	clone := cmp.Clone()
	cmp.KeyBytes()[0], cmp.ValueBytes()[0], cmp.RangeBytes()[0] = 'x', 'x', 'x'
	if string(clone.KeyBytes()) != "k" || string(clone.ValueBytes()) != "v" || string(clone.RangeBytes()) != "z" {
		t.Errorf("%+v", clone)
	}
	clone.WithKeyBytes([]byte("p/k"))
	clone.WithValueBytes([]byte("w"))
	clone.WithRangeBytes([]byte("p/z"))
	if string(clone.KeyBytes()) != "p/k" || string(clone.ValueBytes()) != "w" || string(clone.RangeBytes()) != "p/z" {
		t.Errorf("%+v", clone)
	}
	if (*Cmp)(nil).KeyBytes() != nil {
		t.Error("nothing has no key")
	}
}
