package etclite

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/etclite/etclite/bindings/go/mvccpb"
)

// patience is how long a test waits for what must happen before it fails.
const patience = 30 * time.Second

// eventually waits for something that tells nobody when it happens, such as a goroutine getting into a queue.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for start := time.Now(); !holds(); runtime.Gosched() {
		if time.Since(start) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// receive is the next of a channel, which must not be closed.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatal("the channel is closed")
		}
		return v
	case <-time.After(patience):
		t.Fatalf("nothing within %v", patience)
	}
	panic("unreachable")
}

// awaitClosed reads a channel to its end.
func awaitClosed[T any](t testing.TB, c <-chan T) {
	t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case _, ok := <-c:
			if !ok {
				return
			}
		case <-deadline:
			t.Fatalf("not closed within %v", patience)
		}
	}
}

// memory is a new store in memory, closed when the test ends.
func memory(t testing.TB, options ...Option) *Client {
	t.Helper()
	c, err := OpenMemory(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeClient(t, c) })
	return c
}

// disk is a new store on disk, closed when the test ends.
func disk(t testing.TB, options ...Option) *Client {
	t.Helper()
	return reopened(t, t.TempDir()+"/store", options...)
}

// reopened is a store on disk, closed when the test ends.
func reopened(t testing.TB, path string, options ...Option) *Client {
	t.Helper()
	c, err := Open(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeClient(t, c) })
	return c
}

func closeClient(t testing.TB, c *Client) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// put puts a key and says at which revision.
func put(t testing.TB, kv KV, key, value string, opts ...OpOption) int64 {
	t.Helper()
	resp, err := kv.Put(context.Background(), key, value, opts...)
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return resp.Header.Revision
}

// del deletes keys and says at which revision.
func del(t testing.TB, kv KV, key string, opts ...OpOption) int64 {
	t.Helper()
	resp, err := kv.Delete(context.Background(), key, opts...)
	if err != nil {
		t.Fatalf("delete %q: %v", key, err)
	}
	return resp.Header.Revision
}

// get reads keys, each as key=value.
func get(t testing.TB, kv KV, key string, opts ...OpOption) []string {
	t.Helper()
	resp, err := kv.Get(context.Background(), key, opts...)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	return shown(resp.Kvs)
}

func shown(kvs []*mvccpb.KeyValue) []string {
	var all []string
	for _, kv := range kvs {
		all = append(all, string(kv.Key)+"="+string(kv.Value))
	}
	return all
}

// events are a watch's next events: so many of them, each as "PUT key=value @revision" or "DELETE key @revision". No revision may be
// split, nor come twice.
func events(t testing.TB, watch WatchChan, count int) []string {
	t.Helper()
	var all []string
	last := int64(0)
	for len(all) < count {
		response := receive(t, watch)
		if err := response.Err(); err != nil {
			t.Fatalf("watch: %v", err)
		}
		for i, event := range response.Events {
			revision := event.Kv.ModRevision
			if revision < last || i == 0 && revision == last {
				t.Errorf("revision %d after %d", revision, last)
			}
			last = revision
			all = append(all, told(event))
		}
	}
	return all
}

func told(event *Event) string {
	if event.Type == EventTypeDelete {
		return fmt.Sprintf("DELETE %s @%d", event.Kv.Key, event.Kv.ModRevision)
	}
	return fmt.Sprintf("PUT %s=%s @%d", event.Kv.Key, event.Kv.Value, event.Kv.ModRevision)
}

func equal[T any](t testing.TB, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}

// watchCount is how many watches the library knows.
func watchCount(t testing.TB, c *Client) int {
	t.Helper()
	text, err := c.Stats()
	if err != nil {
		t.Fatal(err)
	}
	var stats struct{ Watches int }
	if err := json.Unmarshal(text, &stats); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return stats.Watches
}
