package etclite

import (
	"crypto/tls"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// A program that asks for users or for TLS must not believe that it has them.
func TestAConfigWithUsersOrTLSIsRefused(t *testing.T) {
	endpoints := []string{"memory:"}
	for _, cfg := range []Config{
		{Endpoints: endpoints, Username: "root"},
		{Endpoints: endpoints, Password: "secret"},
		{Endpoints: endpoints, TLS: &tls.Config{}},
	} {
		if c, err := New(cfg); c != nil || !errors.Is(err, rpctypes.ErrInvalidArgument) {
			t.Errorf("%+v: %v", cfg.Username, err)
		}
	}
	ignored := Config{Endpoints: endpoints, MaxUnaryRetries: 3, BackoffWaitBetween: time.Second, BackoffJitterFraction: 0.5}
	c, err := New(ignored)
	if err != nil {
		t.Fatal(err)
	}
	closeClient(t, c)
}

func TestNewFromURLs(t *testing.T) {
	c, err := NewFromURLs([]string{"memory:"})
	if err != nil {
		t.Fatal(err)
	}
	closeClient(t, c)
	for _, urls := range [][]string{nil, {"memory:", "memory:"}} {
		if c, err := NewFromURLs(urls); c != nil || !errors.Is(err, rpctypes.ErrInvalidArgument) {
			t.Errorf("%q: %v", urls, err)
		}
	}
}

func TestLockWaitInMilliseconds(t *testing.T) {
	for wait, want := range map[time.Duration]int64{
		-1:                              -1,
		0:                               0,
		1:                               1,
		time.Millisecond:                1,
		time.Millisecond + 1:            2,
		time.Duration(math.MaxInt64):    math.MaxInt64/1_000_000 + 1,
		time.Duration(math.MinInt64):    -1,
		time.Hour - 500*time.Nanosecond: 3_600_000,
	} {
		var o openOptions
		WithLockWait(wait)(&o)
		if o.capi.LockWaitMs != want {
			t.Errorf("%v is %d ms instead of %d", wait, o.capi.LockWaitMs, want)
		}
	}
}
