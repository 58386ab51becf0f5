package concurrency_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/concurrency"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

func put(t testing.TB, cli *etclite.Client, key, val string) int64 {
	t.Helper()
	resp, err := cli.Put(patient(t), key, val)
	must(t, err)
	return resp.Header.Revision
}

// value is that of a key, "-" if it is not there.
func value(t testing.TB, cli *etclite.Client, key string) string {
	t.Helper()
	resp, err := cli.Get(patient(t), key)
	must(t, err)
	if len(resp.Kvs) == 0 {
		return "-"
	}
	return string(resp.Kvs[0].Value)
}

func TestCO11_GetPutDelRev(t *testing.T) {
	cli := open(t)
	put(t, cli, "gone", "x")
	rev := put(t, cli, "a", "1")
	resp, err := concurrency.NewSTM(cli, func(s concurrency.STM) error {
		if s.Get("a") != "1" || s.Get("none") != "" || s.Rev("a") != rev || s.Rev("none") != 0 {
			t.Error("reads")
		}
		s.Put("a", "2")
		s.Put("b", "3")
		s.Put("c", "4")
		s.Del("c")
		s.Del("gone")
		if s.Get("a") != "2" || s.Get("b") != "3" || s.Get("c") != "" || s.Get("gone") != "" || s.Rev("a") != rev {
			t.Error("its own writes")
		}
		if s.Get("none", "gone", "c", "b", "a") != "3" || s.Get("none", "c") != "" || s.Get() != "" {
			t.Error("the first that is there")
		}
		return nil
	})
	must(t, err)
	if !resp.Succeeded || resp.Header.Revision != rev+1 {
		t.Errorf("%+v", resp)
	}
	if got := value(t, cli, "a") + value(t, cli, "b") + value(t, cli, "c") + value(t, cli, "gone"); got != "23--" {
		t.Errorf("%s", got)
	}
	if resp, err := concurrency.NewSTM(cli, func(concurrency.STM) error { return nil }); err != nil || !resp.Succeeded {
		t.Errorf("nothing at all: %v", err)
	}
}

func TestCO11_AnErrorEndsIt(t *testing.T) {
	cli := open(t)
	failure := errors.New("enough")
	if resp, err := concurrency.NewSTM(cli, func(s concurrency.STM) error {
		s.Put("a", "1")
		return failure
	}); err != failure || resp != nil || value(t, cli, "a") != "-" {
		t.Errorf("%v", err)
	}
	if _, err := concurrency.NewSTM(cli, func(s concurrency.STM) error {
		s.Get("")
		t.Error("a read that failed has returned")
		return nil
	}); !errors.Is(err, rpctypes.ErrEmptyKey) {
		t.Errorf("%v", err)
	}
	if _, err := concurrency.NewSTM(cli, func(s concurrency.STM) error {
		s.Put("a", "1", etclite.WithLease(12345))
		return nil
	}); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("%v", err)
	}
	if got := panicOf(func() { _, _ = concurrency.NewSTM(cli, func(concurrency.STM) error { panic("its own") }) }); got != "its own" {
		t.Errorf("%v", got)
	}
	if got := panicOf(func() { _, _ = concurrency.NewSTM(cli, nil, concurrency.WithIsolation(4)) }); got != "unsupported stm" {
		t.Errorf("%v", got)
	}
}

// What another client does in the middle of the first run decides how many runs there are, by the level.
func TestCO11_WhatRunsItAgain(t *testing.T) {
	const ss, s, rr, rc = concurrency.SerializableSnapshot, concurrency.Serializable, concurrency.RepeatableReads, concurrency.ReadCommitted
	for _, row := range []struct {
		level                    concurrency.Isolation
		ofRead, ofWritten        int
		secondReadOfFirst, other string
	}{{ss, 2, 2, "old", "old"}, {s, 2, 1, "old", "old"}, {rr, 2, 1, "old", "new"}, {rc, 1, 1, "old", "new"}} {
		runs := func(changed ...string) (n int, first, other string) {
			cli := open(t)
			put(t, cli, "read", "old")
			put(t, cli, "other", "old")
			_, err := concurrency.NewSTM(cli, func(stm concurrency.STM) error {
				n++
				stm.Get("read")
				if n == 1 {
					for _, key := range changed {
						put(t, cli, key, "new")
					}
					first, other = stm.Get("read"), stm.Get("other")
				}
				stm.Put("written", "by us")
				return nil
			}, concurrency.WithIsolation(row.level))
			must(t, err)
			if got := value(t, cli, "written"); got != "by us" {
				t.Errorf("level %d: %q", row.level, got)
			}
			return n, first, other
		}
		if n, _, _ := runs(); n != 1 {
			t.Errorf("level %d: %d runs for nothing", row.level, n)
		}
		if n, _, _ := runs("read"); n != row.ofRead {
			t.Errorf("level %d: %d runs after a change of what was read", row.level, n)
		}
		if n, _, _ := runs("written"); n != row.ofWritten {
			t.Errorf("level %d: %d runs after a change of what is written", row.level, n)
		}
		if _, first, other := runs("read", "other"); first != row.secondReadOfFirst || other != row.other {
			t.Errorf("level %d reads %q, %q", row.level, first, other)
		}
	}
}

func TestCO11_ACompactionPastTheRevisionRunsItAgain(t *testing.T) {
	cli := open(t)
	put(t, cli, "a", "1")
	runs := 0
	_, err := concurrency.NewSTM(cli, func(s concurrency.STM) error {
		runs++
		s.Get("a")
		if runs == 1 {
			rev := put(t, cli, "b", "2")
			_, err := cli.Compact(patient(t), rev)
			must(t, err)
		}
		s.Put("sum", s.Get("a")+s.Get("b"))
		return nil
	})
	must(t, err)
	if runs != 2 || value(t, cli, "sum") != "12" {
		t.Errorf("%d runs, %q", runs, value(t, cli, "sum"))
	}
}

func TestCO11_PrefetchCountsAsRead(t *testing.T) {
	cli := open(t)
	put(t, cli, "a", "1")
	runs := 0
	_, err := concurrency.NewSTM(cli, func(s concurrency.STM) error {
		if runs++; runs == 1 {
			put(t, cli, "a", "2")
			if s.Get("a") != "1" {
				t.Error("it was read only now")
			}
		}
		s.Put("b", s.Get("a"))
		return nil
	}, concurrency.WithPrefetch("a", "a", "none"), concurrency.WithIsolation(concurrency.RepeatableReads))
	must(t, err)
	if runs != 2 || value(t, cli, "b") != "2" {
		t.Errorf("%d runs, %q", runs, value(t, cli, "b"))
	}
}

func TestCO11_TheAbortContextEndsTheAttempts(t *testing.T) {
	cli := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	runs := 0
	_, err := concurrency.NewSTM(cli, func(s concurrency.STM) error {
		runs++
		s.Get("a")
		put(t, cli, "a", strconv.Itoa(runs))
		if runs == 3 {
			cancel()
		}
		s.Put("b", "")
		return nil
	}, concurrency.WithAbortContext(ctx))
	if err != context.Canceled || runs != 3 || value(t, cli, "b") != "-" {
		t.Errorf("%v after %d runs", err, runs)
	}
}

func TestCO11_NoIncrementIsLost(t *testing.T) {
	for _, stm := range []func(context.Context, *etclite.Client, func(concurrency.STM) error) (*etclite.TxnResponse, error){
		func(_ context.Context, cli *etclite.Client, apply func(concurrency.STM) error) (*etclite.TxnResponse, error) {
			return concurrency.NewSTM(cli, apply)
		},
		concurrency.NewSTMSerializable, concurrency.NewSTMRepeatable,
	} {
		cli := open(t)
		increment := func(s concurrency.STM) error {
			n, _ := strconv.Atoi(s.Get("n"))
			s.Put("n", strconv.Itoa(n+1))
			return nil
		}
		var all sync.WaitGroup
		for range 8 {
			all.Add(1)
			go func() {
				defer all.Done()
				for range 20 {
					if _, err := stm(patient(t), cli, increment); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		all.Wait()
		if got := value(t, cli, "n"); got != "160" {
			t.Errorf("%s", got)
		}
	}
	cli := open(t)
	if _, err := concurrency.NewSTMReadCommitted(patient(t), cli, func(s concurrency.STM) error { s.Put("a", "1"); return nil }); err != nil || value(t, cli, "a") != "1" {
		t.Errorf("%v", err)
	}
}
