package etclite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/etclite/etclite/bindings/go/rpctypes"
)

func TestAWatchIsRegisteredOnReturn(t *testing.T) {
	c := disk(t)
	for i := range 200 {
		watch := c.Watch(background, "k")
		revision := put(t, c, "k", "v")
		equal(t, events(t, watch, 1), []string{fmt.Sprintf("PUT k=v @%d", revision)})
		if i%2 == 0 {
			revision = del(t, c, "k")
			equal(t, events(t, watch, 1), []string{fmt.Sprintf("DELETE k @%d", revision)})
		}
	}
}

func TestOptionsOfWatches(t *testing.T) {
	c := memory(t)
	first := put(t, c, "a", "1")
	created := c.Watch(background, "a", WithCreatedNotify())
	if response := receive(t, created); !response.Created || response.Err() != nil || response.Header.Revision != first || response.Header.ClusterId == 0 {
		t.Errorf("%+v", response)
	}
	puts := c.Watch(background, "", WithPrefix(), WithFilterDelete())
	deletes := c.Watch(background, "", WithPrefix(), WithFilterPut(), WithPrevKV())
	ranged := c.Watch(background, "b", WithRange("d"))
	from := c.Watch(background, "b", WithFromKey())
	future := c.Watch(background, "", WithPrefix(), WithRev(first+2))
	put(t, c, "b", "2")
	del(t, c, "b")
	put(t, c, "d", "3")
	equal(t, events(t, puts, 2), []string{"PUT b=2 @3", "PUT d=3 @5"})
	deleted := receive(t, deletes)
	if len(deleted.Events) != 1 || string(deleted.Events[0].PrevKv.Value) != "2" || deleted.Events[0].Kv.Value != nil {
		t.Errorf("%+v", deleted)
	}
	equal(t, events(t, ranged, 2), []string{"PUT b=2 @3", "DELETE b @4"})
	equal(t, events(t, from, 3), []string{"PUT b=2 @3", "DELETE b @4", "PUT d=3 @5"})
	equal(t, events(t, future, 2), []string{"DELETE b @4", "PUT d=3 @5"})
	equal(t, events(t, c.Watch(background, "", WithPrefix(), WithRev(1)), 4),
		[]string{"PUT a=1 @2", "PUT b=2 @3", "DELETE b @4", "PUT d=3 @5"})
}

func TestACancelledWatchIsClosedWithoutAWord(t *testing.T) {
	c := memory(t)
	ctx, cancel := context.WithCancel(background)
	watch := c.Watch(ctx, "k")
	cancel()
	if response, ok := <-watch; ok {
		t.Errorf("%+v", response)
	}
	late, cancelLate := context.WithTimeout(background, time.Millisecond)
	defer cancelLate()
	if response, ok := <-c.Watch(late, "k"); ok {
		t.Errorf("%+v", response)
	}
}

func TestACompactedStartIsTold(t *testing.T) {
	c := memory(t)
	for range 5 {
		put(t, c, "k", "v")
	}
	if _, err := c.Compact(background, 4); err != nil {
		t.Fatal(err)
	}
	watch := c.Watch(background, "k", WithRev(2), WithCreatedNotify())
	if response := receive(t, watch); !response.Created {
		t.Errorf("%+v", response)
	}
	last := receive(t, watch)
	if !last.Canceled || last.CompactRevision != 4 || last.Err() != rpctypes.ErrCompacted || last.Header.Revision != 0 || last.Events != nil {
		t.Errorf("%+v", last)
	}
	awaitClosed(t, watch)
	equal(t, events(t, c.Watch(background, "k", WithRev(last.CompactRevision)), 3), []string{"PUT k=v @4", "PUT k=v @5", "PUT k=v @6"})
}

// A watch that is read slowly loses nothing and is ended only by a compaction of what it has not read.
func TestACompactionPassesAWatchThatIsNotRead(t *testing.T) {
	c := memory(t)
	watch := c.Watch(background, "k")
	idle := c.Watch(background, "other")
	// What a watch has read ahead and holds in its channel is bounded: these are more.
	value := strings.Repeat("v", 100_000)
	for range 40 {
		put(t, c, "k", value)
	}
	if _, err := c.Compact(background, 41); err != nil {
		t.Fatal(err)
	}
	next, last := int64(2), WatchResponse{}
	for response := range watch {
		if last = response; response.Canceled {
			break
		}
		for _, event := range response.Events {
			if event.Kv.ModRevision != next {
				t.Fatalf("revision %d instead of %d", event.Kv.ModRevision, next)
			}
			next++
		}
	}
	if last.CompactRevision != 41 || last.Err() != rpctypes.ErrCompacted || next >= 41 {
		t.Errorf("%+v after revision %d", last.CompactRevision, next)
	}
	awaitClosed(t, watch)
	put(t, c, "other", "v")
	equal(t, events(t, idle, 1), []string{"PUT other=v @42"})
}

func TestAWatchOfNothingIsRefused(t *testing.T) {
	c := memory(t)
	watch := c.Watch(background, "b", WithRange("a"))
	response := receive(t, watch)
	if !response.Canceled || !errors.Is(response.Err(), rpctypes.ErrInvalidArgument) || response.CancelReason == "" {
		t.Errorf("%+v: %v", response, response.Err())
	}
	awaitClosed(t, watch)
}

func TestProgressOnRequest(t *testing.T) {
	c := memory(t)
	watch := c.Watch(background, "k")
	future := c.Watch(background, "k", WithRev(100))
	other := NewWatcher(c)
	silent := other.Watch(background, "quiet")
	revision := put(t, c, "elsewhere", "v")
	if err := c.RequestProgress(background); err != nil {
		t.Fatal(err)
	}
	if notice := receive(t, watch); !notice.IsProgressNotify() || notice.Header.Revision != revision {
		t.Errorf("%+v", notice)
	}
	// Progress comes behind the events that it covers.
	revision = put(t, c, "k", "v")
	if err := c.RequestProgress(background); err != nil {
		t.Fatal(err)
	}
	equal(t, events(t, watch, 1), []string{fmt.Sprintf("PUT k=v @%d", revision)})
	if notice := receive(t, watch); !notice.IsProgressNotify() || notice.Header.Revision != revision {
		t.Errorf("%+v", notice)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if response, ok := <-silent; ok {
		t.Errorf("another's watch was told: %+v", response)
	}
	if err := other.RequestProgress(background); err != ErrClosed {
		t.Errorf("%v", err)
	}
	awaitClosed(t, other.Watch(background, "k"))
	// A watch that starts later has no progress to tell: the first that it brings is an event.
	for revision < 100 {
		revision = put(t, c, "k", "v")
	}
	if response := receive(t, future); len(response.Events) != 1 || told(response.Events[0]) != "PUT k=v @100" {
		t.Errorf("%+v", response)
	}
}

func TestProgressUnasked(t *testing.T) {
	every := func(o *openOptions) { o.progressEvery = time.Millisecond }
	c := memory(t, every)
	watch := c.Watch(background, "k", WithProgressNotify())
	mute := c.Watch(background, "k")
	revision := put(t, c, "elsewhere", "v")
	for told := receive(t, watch); told.Header.Revision < revision; told = receive(t, watch) {
		if !told.IsProgressNotify() {
			t.Errorf("%+v", told)
		}
	}
	put(t, c, "k", "v")
	for told := receive(t, watch); len(told.Events) == 0; told = receive(t, watch) {
		if !told.IsProgressNotify() {
			t.Errorf("%+v", told)
		}
	}
	equal(t, events(t, mute, 1), []string{"PUT k=v @3"})
}

// kragniz/python-etcd3#729: a consumer that stopped in the middle of a revision could resume neither before nor after it without loss or
// repetition.
func TestB002ARevisionIsNeverSplit(t *testing.T) {
	c := memory(t)
	watch := c.Watch(background, "k", WithPrefix())
	if _, err := c.Txn(background).Then(OpPut("k1", "a"), OpPut("k2", "b")).Commit(); err != nil {
		t.Fatal(err)
	}
	put(t, c, "k1", "c")
	all := []string{"PUT k1=a @2", "PUT k2=b @2", "PUT k1=c @3"}
	equal(t, events(t, watch, 3), all)
	equal(t, events(t, c.Watch(background, "k", WithPrefix(), WithRev(2)), 3), all)
	equal(t, events(t, c.Watch(background, "k", WithPrefix(), WithRev(3)), 1), all[2:])

	// Also one that is larger than what a watch reads at a time.
	var ops []Op
	for i := range 100 {
		ops = append(ops, OpPut(fmt.Sprintf("k/%02d", i), strings.Repeat("v", 10_000)))
	}
	large := c.Watch(background, "k/", WithPrefix())
	if _, err := c.Txn(background).Then(ops...).Commit(); err != nil {
		t.Fatal(err)
	}
	if response := receive(t, large); len(response.Events) != 100 {
		t.Errorf("%d events", len(response.Events))
	}
}

// kelseyhightower/confd#671, #172: changes between reading a prefix and watching it were never applied, deletions least of all.
func TestB007NothingBetweenReadAndWatchIsMissed(t *testing.T) {
	c := memory(t)
	put(t, c, "c/a", "1")
	read, err := c.Get(background, "c/", WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	put(t, c, "c/a", "2")
	del(t, c, "c/a")
	put(t, c, "x", "1")
	equal(t, get(t, c, "c/", WithPrefix(), WithRev(read.Header.Revision)), []string{"c/a=1"})
	watch := c.Watch(background, "c/", WithPrefix(), WithRev(read.Header.Revision+1))
	equal(t, events(t, watch, 2), []string{"PUT c/a=2 @3", "DELETE c/a @4"})
}

// etcd-io/jetcd#134: with two watches on one client events of the first one vanished.
func TestB009WatchesAreIndependent(t *testing.T) {
	c := memory(t)
	one := c.Watch(background, "k", WithPrefix())
	ctx, cancel := context.WithCancel(background)
	two := c.Watch(ctx, "k", WithPrefix())
	put(t, c, "k1", "v")
	cancel()
	awaitClosed(t, two)
	put(t, c, "k2", "v")
	three := c.Watch(background, "k", WithPrefix(), WithRev(2))
	equal(t, events(t, one, 2), []string{"PUT k1=v @2", "PUT k2=v @3"})
	equal(t, events(t, three, 2), []string{"PUT k1=v @2", "PUT k2=v @3"})
}

// nats-io/nats-server#4640, nats-io/nats.py#966: keys that expired by time vanished without an event, or as a put of nothing.
func TestB011ExpiryIsADeleteEvent(t *testing.T) {
	c := memory(t)
	lease, err := c.Grant(background, 1)
	if err != nil {
		t.Fatal(err)
	}
	put(t, c, "k2", "b", WithLease(lease.ID))
	put(t, c, "k1", "a", WithLease(lease.ID))
	response := receive(t, c.Watch(background, "k", WithPrefix(), WithPrevKV()))
	if len(response.Events) != 2 {
		t.Fatalf("%v", response.Events)
	}
	for i, want := range []string{"DELETE k1 @4", "DELETE k2 @4"} {
		event := response.Events[i]
		if told(event) != want || string(event.PrevKv.Value) != "ab"[i:i+1] || LeaseID(event.PrevKv.Lease) != lease.ID {
			t.Errorf("%+v", event)
		}
	}
}

// gazette/core#337: a revision with two thousand events came twice with one number, and the second part was dropped as a repetition.
func TestB053ALeaseEndsInOneRevisionAndOneResponse(t *testing.T) {
	c := memory(t)
	lease, err := c.Grant(background, 600)
	if err != nil {
		t.Fatal(err)
	}
	const count = 2000
	var ops []Op
	for i := range count {
		ops = append(ops, OpPut(fmt.Sprintf("k%04d", count-1-i), "v", WithLease(lease.ID)))
	}
	if _, err := c.Txn(background).Then(ops...).Commit(); err != nil {
		t.Fatal(err)
	}
	watch := c.Watch(background, "k", WithPrefix())
	if _, err := c.Revoke(background, lease.ID); err != nil {
		t.Fatal(err)
	}
	response := receive(t, watch)
	if len(response.Events) != count {
		t.Fatalf("%d events", len(response.Events))
	}
	for i, event := range response.Events {
		if told(event) != fmt.Sprintf("DELETE k%04d @3", i) {
			t.Errorf("%s in place %d", told(event), i)
		}
	}
}

// kelseyhightower/confd#205: after a prefix was removed and built anew the watcher hung on the old one.
func TestB054AWatchGoesOnWhenItsKeysAreMadeAnew(t *testing.T) {
	c := memory(t)
	put(t, c, "p/a", "1")
	put(t, c, "p/b", "1")
	watch := c.Watch(background, "p/", WithPrefix())
	del(t, c, "p/", WithPrefix())
	equal(t, events(t, watch, 2), []string{"DELETE p/a @4", "DELETE p/b @4"})
	if _, err := c.Txn(background).Then(OpPut("p/b", "2"), OpPut("p/a", "2")).Commit(); err != nil {
		t.Fatal(err)
	}
	response := receive(t, watch)
	for i, want := range []string{"PUT p/b=2 @5", "PUT p/a=2 @5"} {
		if event := response.Events[i]; told(event) != want || event.Kv.Version != 1 || !event.IsCreate() || event.Kv.CreateRevision != 5 {
			t.Errorf("%+v", event)
		}
	}
	del(t, c, "p/a")
	put(t, c, "p/a", "3")
	equal(t, events(t, watch, 2), []string{"DELETE p/a @6", "PUT p/a=3 @7"})
}

// etcd-io/etcd#13610, #9103: thousands of watches that nobody read any more were never freed.
func TestB079CancelFreesWatches(t *testing.T) {
	c := memory(t)
	for range 3 {
		before := runtime.NumGoroutine()
		ctx, cancel := context.WithCancel(background)
		var watches []WatchChan
		for range 2000 {
			watches = append(watches, c.Watch(ctx, "k", WithRev(1)))
		}
		for range 10 {
			put(t, c, "k", "v")
		}
		if count := watchCount(t, c); count != 2000 {
			t.Errorf("%d watches", count)
		}
		cancel()
		for _, watch := range watches {
			awaitClosed(t, watch)
		}
		if count := watchCount(t, c); count != 0 {
			t.Errorf("%d watches are left", count)
		}
		// A goroutine is counted until a moment after it has closed its channel. The pump, made by the first watch, stays.
		eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before+1 })
	}
	c.pump.mu.Lock()
	defer c.pump.mu.Unlock()
	if len(c.pump.notices) != 0 {
		t.Errorf("the pump knows %d watches", len(c.pump.notices))
	}
}

func TestManyWatchesAndWriters(t *testing.T) {
	c := disk(t)
	const keys, rounds = 20, 50
	var watches []WatchChan
	for i := range 5 * keys {
		watches = append(watches, c.Watch(background, fmt.Sprint("k", i%keys)))
	}
	everything := c.Watch(background, "", WithPrefix())
	written := make(chan int64)
	for i := range keys {
		go func() {
			for range rounds {
				written <- put(t, c, fmt.Sprint("k", i), "v")
			}
		}()
	}
	for range keys * rounds {
		receive(t, written)
	}
	for i, watch := range watches {
		for _, event := range events(t, watch, rounds) {
			if !strings.HasPrefix(event, fmt.Sprintf("PUT k%d=v ", i%keys)) {
				t.Errorf("%s in the watch of k%d", event, i%keys)
			}
		}
	}
	for i, event := range events(t, everything, keys*rounds) {
		if !strings.HasSuffix(event, fmt.Sprint("@", i+2)) {
			t.Errorf("%s in place %d", event, i)
		}
	}
}
