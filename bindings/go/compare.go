package etclite

import (
	"fmt"

	"github.com/etclite/etclite/bindings/go/internal/wire"
)

// A CompareTarget is what of a key is compared.
type CompareTarget int

// A CompareResult is how it is compared.
type CompareResult int

// The targets of a compare that have had a name from the beginning.
const (
	CompareVersion CompareTarget = iota
	CompareCreated
	CompareModified
	CompareValue
)

// The numbers of the targets and results in messages.
const (
	targetVersion = 0
	targetCreate  = 1
	targetMod     = 2
	targetValue   = 3
	targetLease   = 4

	resultEqual    = 0
	resultGreater  = 1
	resultLess     = 2
	resultNotEqual = 3
)

// A Cmp is a condition of a txn: Compare(Version("k"), "=", 0).
type Cmp struct {
	c wire.Compare
}

// Compare makes a condition of a target, one of Value, Version, CreateRevision, ModRevision and LeaseValue of a key. result is
// "=", "!=", ">" or "<". v is a string for Value, an int or int64 for the others, for LeaseValue a LeaseID too. It panics on
// anything else.
//
// A key that is not there has version, revisions and lease 0, but no value: each compare of its value fails, != too.
func Compare(cmp Cmp, result string, v any) Cmp {
	c := cmp.c
	switch result {
	case "=":
		c.Result = resultEqual
	case "!=":
		c.Result = resultNotEqual
	case ">":
		c.Result = resultGreater
	case "<":
		c.Result = resultLess
	default:
		panic("Unknown result op")
	}
	if c.Target == targetValue {
		text, ok := v.(string)
		if !ok {
			panic("bad compare value")
		}
		c.Operand, c.Value = wire.OperandValue, []byte(text)
		return Cmp{c}
	}
	if lease, ok := v.(LeaseID); ok && c.Target == targetLease {
		v = int64(lease)
	}
	c.Operand, c.Int = operandOf(c.Target), mustInt64(v)
	return Cmp{c}
}

func operandOf(target int32) uint32 {
	switch target {
	case targetCreate:
		return wire.OperandCreateRevision
	case targetMod:
		return wire.OperandModRevision
	case targetLease:
		return wire.OperandLease
	default:
		return wire.OperandVersion
	}
}

func mustInt64(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case int:
		return int64(v)
	}
	panic(fmt.Sprintf("bad value %v of type %T", v, v))
}

// Value compares the value of a key.
func Value(key string) Cmp { return target(key, targetValue) }

// Version compares how often a key was put since its creation; 0 if it is not there.
func Version(key string) Cmp { return target(key, targetVersion) }

// CreateRevision compares the revision at which a key was created; 0 if it is not there.
func CreateRevision(key string) Cmp { return target(key, targetCreate) }

// ModRevision compares the revision of a key's last put; 0 if it is not there.
func ModRevision(key string) Cmp { return target(key, targetMod) }

// LeaseValue compares the lease that a key is attached to; NoLease if there is none.
func LeaseValue(key string) Cmp { return target(key, targetLease) }

func target(key string, target int32) Cmp {
	return Cmp{wire.Compare{Key: []byte(key), Target: target}}
}

// WithRange makes the condition one on all keys from its own up to, but without, end: it must hold for each of them.
func (cmp Cmp) WithRange(end string) Cmp {
	cmp.c.RangeEnd = []byte(end)
	return cmp
}

// WithPrefix makes the condition one on all keys that begin with its own.
func (cmp Cmp) WithPrefix() Cmp {
	cmp.c.RangeEnd = prefixEnd(cmp.c.Key)
	return cmp
}

// Clone is a copy that shares no bytes with the condition.
func (cmp *Cmp) Clone() Cmp {
	c := cmp.c
	c.Key, c.Value, c.RangeEnd = cloned(c.Key), cloned(c.Value), cloned(c.RangeEnd)
	return Cmp{c}
}

func cloned(b []byte) []byte { return append([]byte(nil), b...) }

func cloneCmps(cmps []Cmp) []Cmp {
	clones := make([]Cmp, len(cmps))
	for i := range cmps {
		clones[i] = cmps[i].Clone()
	}
	return clones
}

// KeyBytes is the key. It is the condition's own: do not write to it.
func (cmp *Cmp) KeyBytes() []byte {
	if cmp == nil {
		return nil
	}
	return cmp.c.Key
}

// WithKeyBytes replaces the key.
func (cmp *Cmp) WithKeyBytes(key []byte) { cmp.c.Key = key }

// RangeBytes is the end of the range, nil if the condition is on one key.
func (cmp *Cmp) RangeBytes() []byte { return cmp.c.RangeEnd }

// WithRangeBytes replaces the end of the range.
func (cmp *Cmp) WithRangeBytes(end []byte) { cmp.c.RangeEnd = end }

// ValueBytes is the value that is compared with, nil if the condition is not on a value.
func (cmp *Cmp) ValueBytes() []byte { return cmp.c.Value }

// WithValueBytes replaces the value that is compared with. It panics if the condition is not on a value.
func (cmp *Cmp) WithValueBytes(v []byte) {
	if cmp.c.Target != targetValue {
		panic("not a compare of a value")
	}
	cmp.c.Operand, cmp.c.Value = wire.OperandValue, v
}
