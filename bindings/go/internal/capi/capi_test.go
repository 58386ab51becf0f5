package capi

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

func memory(t *testing.T) DB {
	t.Helper()
	db, err := Open("", OpenOptions{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func mustPut(t *testing.T, db DB, key, value []byte) {
	t.Helper()
	put := wire.PutRequest{Key: key, Value: value}
	if _, err := db.Call(wire.OpPut, put.Append(nil)); err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, db DB, key []byte) []byte {
	t.Helper()
	get := wire.RangeRequest{Key: key}
	reply, err := db.Call(wire.OpRange, get.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	got := wire.RangeResponse{}
	if err := got.Decode(reply); err != nil || len(got.Kvs) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	return got.Kvs[0].Value
}

func TestTheHeaderIsTheLibrarys(t *testing.T) {
	own, err := os.ReadFile("etclite.h")
	if err != nil {
		t.Fatal(err)
	}
	library, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "include", "etclite.h"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(own, library) {
		t.Error("internal/capi/etclite.h is not include/etclite.h: make -C bindings/go header copies it")
	}
}

// What is larger than the caller's buffer comes whole, in memory of the library, which is freed.
func TestRepliesAroundTheSizeOfABuffer(t *testing.T) {
	db := memory(t)
	for size := outSize - 80; size < outSize+10; size++ {
		want := bytes.Repeat([]byte{byte(size)}, size)
		mustPut(t, db, []byte("k"), want)
		if got := value(t, db, []byte("k")); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes became %d", size, len(got))
		}
	}
}

func TestSpilledRepliesAreFreed(t *testing.T) {
	db := memory(t)
	const size, reads = 1 << 20, 2000
	mustPut(t, db, []byte("k"), make([]byte, size))
	get := (&wire.RangeRequest{Key: []byte("k")}).Append(nil)
	before := resident(t)
	for range reads {
		if _, err := db.Call(wire.OpRange, get); err != nil {
			t.Fatal(err)
		}
	}
	if more := resident(t) - before; more > size*reads/2 {
		t.Errorf("%d MiB more after %d MiB of replies", more>>20, size*reads>>20)
	}
}

// resident is how much memory the process has, C's included; 0 where that cannot be told.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var total, pages int
	if _, err := fmt.Sscan(string(text), &total, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestARepliesMemoryIsTheCallers(t *testing.T) {
	db := memory(t)
	mustPut(t, db, []byte("k"), []byte("one"))
	got := value(t, db, []byte("k"))
	mustPut(t, db, []byte("k"), []byte("two"))
	if other := value(t, db, []byte("k")); string(got) != "one" || string(other) != "two" {
		t.Errorf("%s, %s", got, other)
	}
}

func TestStaleHandlesAreMisuse(t *testing.T) {
	db := memory(t)
	watch, _, err := db.Watch((&wire.WatchCreateRequest{Key: []byte("k")}).Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	poller, err := db.Poller()
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Children answer that their store is closed, until they are freed.
	_, _, err = watch.Next(0)
	check("next", err, rpctypes.ErrClosed)
	watch.Free()
	_, _, err = watch.Next(0)
	check("next", err, rpctypes.ErrMisuse)
	_, err = watch.Progress()
	check("progress", err, rpctypes.ErrMisuse)
	poller.Free()
	_, err = poller.FD()
	check("fd", err, rpctypes.ErrMisuse)
	_, err = poller.Drain(make([]uint64, 1))
	check("drain", err, rpctypes.ErrMisuse)
	watch.Free()
	poller.Free()

	check("close", db.Close(), rpctypes.ErrMisuse)
	check("sync", db.Sync(), rpctypes.ErrMisuse)
	check("backup", db.Backup(t.TempDir()+"/copy"), rpctypes.ErrMisuse)
	_, err = db.Call(wire.OpRange, nil)
	check("call", err, rpctypes.ErrMisuse)
	_, err = db.CallBatch(nil)
	check("batch", err, rpctypes.ErrMisuse)
	_, err = db.Revision()
	check("revision", err, rpctypes.ErrMisuse)
	_, err = db.Stats(StatsJSON)
	check("stats", err, rpctypes.ErrMisuse)
	_, _, err = db.Watch(nil)
	check("watch", err, rpctypes.ErrMisuse)
	_, err = db.Poller()
	check("poller", err, rpctypes.ErrMisuse)
	// Neither a number that is no handle, nor one of another kind.
	check("forged", DB(12345).Sync(), rpctypes.ErrMisuse)
	check("of another kind", DB(poller).Sync(), rpctypes.ErrMisuse)
}

func TestErrorsCarryTextAndDetail(t *testing.T) {
	path := t.TempDir() + "/store"
	db, err := Open(path, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var told *rpctypes.StatusError
	if _, err := Open(path, OpenOptions{}); !errors.As(err, &told) || told.Detail != int64(os.Getpid()) || told.Text == "" {
		t.Errorf("%v", err)
	}
	if _, err := db.Call(999, nil); !errors.Is(err, rpctypes.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	if _, err := db.Call(wire.OpRange, []byte{0xff}); !errors.Is(err, rpctypes.ErrInvalidArgument) {
		t.Errorf("%v", err)
	}
	if _, err := Open("", OpenOptions{}); !errors.Is(err, rpctypes.ErrInvalidArgument) {
		t.Errorf("%v", err)
	}
}

func TestAPollerTellsOnceUntilNothingIsLeft(t *testing.T) {
	db := memory(t)
	poller, err := db.Poller()
	if err != nil {
		t.Fatal(err)
	}
	defer poller.Free()
	var watches []Watch
	for i := range 10 {
		watch, _, err := db.Watch((&wire.WatchCreateRequest{Key: fmt.Appendf(nil, "k%d", i%2)}).Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		defer watch.Free()
		if err := poller.Add(watch, uint64(i)); err != nil {
			t.Fatal(err)
		}
		watches = append(watches, watch)
	}
	ready := make([]uint64, 3)
	if count, err := poller.Drain(ready); count != 0 || err != nil {
		t.Fatalf("%d, %v", count, err)
	}
	for range 2 {
		mustPut(t, db, []byte("k1"), []byte("v"))
		seen := map[uint64]bool{}
		for count := len(ready); count == len(ready); {
			if count, err = poller.Drain(ready); err != nil {
				t.Fatal(err)
			}
			for _, cookie := range ready[:count] {
				seen[cookie] = true
			}
		}
		if len(seen) != 5 || !seen[1] || !seen[9] {
			t.Errorf("%v", seen)
		}
		mustPut(t, db, []byte("k1"), []byte("v"))
		if count, err := poller.Drain(ready); count != 0 || err != nil {
			t.Errorf("%d are told again: %v", count, err)
		}
		for _, watch := range watches {
			for reply := []byte{0}; reply != nil; {
				if reply, _, err = watch.Next(1 << 10); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestStrings(t *testing.T) {
	db := memory(t)
	long := strings.Repeat("x", 10_000)
	if err := db.Backup(long); err == nil {
		t.Error("a path of 10,000 bytes")
	}
	if err := db.Backup("a\x00b"); !errors.Is(err, rpctypes.ErrInvalidArgument) {
		t.Errorf("%v", err)
	}
}
