package etclite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etclite/etclite/bindings/go/rpctypes"
)

func TestAStoreIsThereAgainWhenReopened(t *testing.T) {
	path := t.TempDir() + "/store"
	first := reopened(t, path)
	put(t, first, "q1mi", "dsb")
	closeClient(t, first)
	second := reopened(t, path)
	equal(t, get(t, second, "q1mi"), []string{"q1mi=dsb"})
	if revision := put(t, second, "q1mi", "dsb2"); revision != 3 {
		t.Errorf("revision %d", revision)
	}
}

func TestNewTakesAPathOrOneEndpoint(t *testing.T) {
	dir := t.TempDir() + "/a b"
	for _, cfg := range []Config{
		{Path: dir},
		{Endpoints: []string{"file://" + strings.ReplaceAll(dir, " ", "%20")}, DialTimeout: time.Second},
		{Endpoints: []string{"file://localhost" + dir}},
	} {
		c, err := New(cfg)
		if err != nil {
			t.Fatalf("%+v: %v", cfg, err)
		}
		put(t, c, "k", "v")
		equal(t, c.Endpoints(), []string{"file://" + strings.ReplaceAll(dir, " ", "%20")})
		closeClient(t, c)
	}
	c, err := NewFromURL("memory:")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, c.Endpoints(), []string{"memory:"})
	closeClient(t, c)
	for _, cfg := range []Config{
		{},
		{Path: dir, Endpoints: []string{"file://" + dir}},
		{Endpoints: []string{"localhost:2379"}},
		{Endpoints: []string{"http://localhost:2379"}},
		{Endpoints: []string{"file://elsewhere/x"}},
		{Endpoints: []string{"file:x"}},
		{Endpoints: []string{"://"}},
		{Endpoints: []string{"memory:", "memory:"}},
	} {
		if _, err := New(cfg); !errors.Is(err, rpctypes.ErrInvalidArgument) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestOptionsReachTheStore(t *testing.T) {
	path := t.TempDir() + "/store"
	if _, err := Open(path, WithoutCreate()); err == nil {
		t.Error("a store was made")
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is there: %v", err)
	}
	writer := reopened(t, path, WithDurability(Buffered), WithTxnOpsMax(2), WithRequestBytesMax(1000), WithMemtableBytes(1<<20),
		WithStoreBytesMax(1<<20))
	put(t, writer, "k", "v")
	if _, err := writer.Put(background, "k", strings.Repeat("v", 2000)); err != rpctypes.ErrRequestTooLarge {
		t.Errorf("%v", err)
	}
	three := []Op{OpGet("a"), OpGet("b"), OpGet("c")}
	if _, err := writer.Txn(background).Then(three...).Commit(); err != rpctypes.ErrTooManyOps {
		t.Errorf("%v", err)
	}
	var locked *rpctypes.StatusError
	if _, err := Open(path); !errors.Is(err, rpctypes.ErrLocked) || !errors.As(err, &locked) || locked.Detail != int64(os.Getpid()) {
		t.Errorf("%v", err)
	}
	link := path + "-link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link); !errors.Is(err, rpctypes.ErrLocked) {
		t.Errorf("%v", err)
	}
	if err := writer.Sync(background); err != nil {
		t.Error(err)
	}
	closeClient(t, writer)

	reader := reopened(t, path, WithReadOnly())
	equal(t, get(t, reader, "k"), []string{"k=v"})
	if _, err := reader.Put(background, "k", "v"); err != rpctypes.ErrReadOnly {
		t.Errorf("%v", err)
	}
	history := reader.Watch(background, "k", WithRev(1))
	equal(t, events(t, history, 1), []string{"PUT k=v @2"})
	awaitClosed(t, history)
}

func TestLockWaitWaitsForTheStore(t *testing.T) {
	path := t.TempDir() + "/store"
	first := reopened(t, path)
	opened := make(chan error, 1)
	go func() {
		second, err := Open(path, WithLockWait(-1))
		if err == nil {
			err = second.Close()
		}
		opened <- err
	}()
	if _, err := Open(path, WithLockWait(time.Microsecond)); !errors.Is(err, rpctypes.ErrLocked) {
		t.Errorf("%v", err)
	}
	select {
	case err := <-opened:
		t.Errorf("it did not wait: %v", err)
	default:
	}
	closeClient(t, first)
	if err := receive(t, opened); err != nil {
		t.Error(err)
	}
}

// etcd-io/etcd#10340: closing a client always returned "cancelled", so that people looked for an error.
func TestB083CloseReturnsNilTwice(t *testing.T) {
	c := disk(t)
	put(t, c, "k", "v")
	watch := c.Watch(background, "k")
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("%v", err)
		}
	}
	awaitClosed(t, watch)
	if c.Ctx().Err() == nil {
		t.Error("the context goes on")
	}
}

// everyCall calls all that a client can do.
func everyCall(c *Client, ctx context.Context, dir string) map[string]error {
	errs := map[string]error{}
	_, errs["Put"] = c.Put(ctx, "k", "v")
	_, errs["Get"] = c.Get(ctx, "k")
	_, errs["Delete"] = c.Delete(ctx, "k")
	_, errs["Compact"] = c.Compact(ctx, 1)
	_, errs["Do"] = c.Do(ctx, OpGet("k"))
	_, errs["Txn"] = c.Txn(ctx).Then(OpPut("k", "v")).Commit()
	_, errs["Txn of reads"] = c.Txn(ctx).Then(OpGet("k")).Commit()
	_, errs["Grant"] = c.Grant(ctx, 5)
	_, errs["Revoke"] = c.Revoke(ctx, 1)
	_, errs["TimeToLive"] = c.TimeToLive(ctx, 1)
	_, errs["Leases"] = c.Leases(ctx)
	_, errs["KeepAliveOnce"] = c.KeepAliveOnce(ctx, 1)
	errs["RequestProgress"] = c.RequestProgress(ctx)
	_, errs["Status"] = c.Maintenance.Status(ctx, "")
	_, errs["HashKV"] = c.HashKV(ctx, "", 0)
	_, errs["Defragment"] = c.Defragment(ctx, "")
	errs["Sync"] = c.Sync(ctx)
	errs["Backup"] = c.Backup(ctx, dir)
	return errs
}

func TestUseAfterClose(t *testing.T) {
	c := disk(t)
	closeClient(t, c)
	errs := everyCall(c, background, t.TempDir()+"/backup")
	_, errs["Stats"] = c.Stats()
	_, errs["Metrics"] = c.Metrics()
	for call, err := range errs {
		if err != ErrClosed {
			t.Errorf("%s: %v", call, err)
		}
	}
	awaitClosed(t, c.Watch(background, "k"))
	kept, err := c.KeepAlive(background, 1)
	if !errors.Is(err, ErrClosed) || !errors.As(err, &ErrKeepAliveHalted{}) {
		t.Errorf("%v", err)
	}
	awaitClosed(t, kept)
	if err := errors.Join(c.Watcher.Close(), c.Lease.Close()); err != nil {
		t.Error(err)
	}
}

func TestAnEndedContextComesFirst(t *testing.T) {
	c := disk(t)
	cancelled, cancel := context.WithCancel(background)
	cancel()
	late, cancelLate := context.WithDeadline(background, time.Unix(0, 0))
	defer cancelLate()
	dir := t.TempDir() + "/backup"
	for ctx, want := range map[context.Context]error{cancelled: context.Canceled, late: context.DeadlineExceeded} {
		for call, err := range everyCall(c, ctx, dir) {
			if err != want {
				t.Errorf("%s: %v", call, err)
			}
		}
		awaitClosed(t, c.Watch(ctx, "k", WithCreatedNotify()))
		kept, err := c.KeepAlive(ctx, 1)
		if err != nil {
			t.Error(err)
		}
		awaitClosed(t, kept)
	}
	if resp, err := c.Get(background, "", WithPrefix()); err != nil || resp.Header.Revision != 1 {
		t.Errorf("%v: something was done: %v", err, resp)
	}
}

func TestTheContextOfAConfigEndsTheClient(t *testing.T) {
	ctx, cancel := context.WithCancel(background)
	c, err := New(Config{Endpoints: []string{"memory:"}, Context: ctx})
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, c)
	watch := c.Watch(background, "k")
	cancel()
	awaitClosed(t, watch)
	if _, err := c.Get(background, "k"); err != context.Canceled {
		t.Errorf("%v", err)
	}
}

func TestCloseDuringEverything(t *testing.T) {
	for range 5 {
		c := disk(t)
		lease, err := c.Grant(background, 60)
		if err != nil {
			t.Fatal(err)
		}
		var users sync.WaitGroup
		began := make(chan struct{}, 1)
		use := func(call func(i int) error) {
			users.Add(1)
			go func() {
				defer users.Done()
				for i := 0; ; i++ {
					err := call(i)
					signal(began)
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil {
						t.Errorf("%v", err)
						return
					}
				}
			}()
		}
		key := func(i int) string { return fmt.Sprint("k", i%10) }
		for range 4 {
			use(func(i int) error { _, err := c.Put(background, key(i), "v", WithLease(lease.ID)); return err })
			use(func(i int) error { _, err := c.Get(background, key(i), WithFromKey()); return err })
			use(func(i int) error { _, err := c.Delete(background, key(i)); return err })
			use(func(int) error { _, err := c.KeepAliveOnce(background, lease.ID); return err })
			use(func(int) error { return drained(c, c.Watch(background, "", WithPrefix())) })
			use(func(int) error {
				kept, err := c.KeepAlive(background, lease.ID)
				for err == nil {
					if _, ok := <-kept; !ok {
						return ErrClosed
					}
				}
				return err
			})
		}
		<-began
		closeClient(t, c)
		users.Wait()
	}
}

func TestCloseEndsAllGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	c := disk(t)
	lease, err := c.Grant(background, 60)
	if err != nil {
		t.Fatal(err)
	}
	var channels []<-chan *LeaseKeepAliveResponse
	var watches []WatchChan
	for range 100 {
		kept, err := c.KeepAlive(background, lease.ID)
		if err != nil {
			t.Fatal(err)
		}
		channels = append(channels, kept)
		watches = append(watches, c.Watch(background, "k"), NewWatcher(c).Watch(background, "k"))
		if kept, err = NewLease(c).KeepAlive(background, lease.ID); err != nil {
			t.Fatal(err)
		}
		channels = append(channels, kept)
	}
	put(t, c, "k", "v")
	closeClient(t, c)
	for _, watch := range watches {
		awaitClosed(t, watch)
	}
	for _, kept := range channels {
		awaitClosed(t, kept)
	}
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}

// drained reads a watch until it is closed.
func drained(c *Client, watch WatchChan) error {
	for response := range watch {
		if err := response.Err(); err != nil {
			return err
		}
	}
	return c.ready(background)
}

func TestBackupIsAStore(t *testing.T) {
	c := disk(t)
	put(t, c, "k", "v")
	path := t.TempDir() + "/copy"
	if err := c.Backup(background, path); err != nil {
		t.Fatal(err)
	}
	if err := c.Backup(background, path); err == nil {
		t.Error("something was overwritten")
	}
	put(t, c, "k", "v2")
	equal(t, get(t, reopened(t, path), "k"), []string{"k=v"})
}

func TestWhatAStoreTellsOfItself(t *testing.T) {
	c := disk(t)
	put(t, c, "k", "v")
	status, err := c.Maintenance.Status(background, "ignored")
	if err != nil || status.Header.Revision != 2 || status.Leader != status.Header.MemberId || status.DbSize <= 0 {
		t.Errorf("%+v, %v", status, err)
	}
	equal(t, c.header(2), status.Header)
	text, err := c.Stats()
	if object := map[string]any{}; err != nil || json.Unmarshal(text, &object) != nil || len(object) == 0 {
		t.Errorf("%s, %v", text, err)
	}
	if text, err = c.Metrics(); err != nil || !strings.Contains(string(text), "\n# TYPE ") {
		t.Errorf("%s, %v", text, err)
	}
	first, err := c.HashKV(background, "", 0)
	if err != nil || first.HashRevision != 2 {
		t.Fatalf("%+v, %v", first, err)
	}
	put(t, c, "k", "v2")
	again, err := c.HashKV(background, "", 2)
	if err != nil || again.Hash != first.Hash {
		t.Errorf("%+v, %v", again, err)
	}
	if other, err := c.HashKV(background, "", 0); err != nil || other.Hash == first.Hash {
		t.Errorf("%+v, %v", other, err)
	}
	if defragmented, err := c.Defragment(background, ""); err != nil || defragmented.Header.Revision != 0 {
		t.Errorf("%+v, %v", defragmented, err)
	}
}

func TestStoresInMemoryAreOfTheirOwn(t *testing.T) {
	one, other := memory(t), memory(t)
	put(t, NewKV(one), "k", "v")
	mine, err := NewMaintenance(one).Status(background, "")
	if err != nil {
		t.Fatal(err)
	}
	if others, err := other.Maintenance.Status(background, ""); err != nil || others.Header.ClusterId == mine.Header.ClusterId {
		t.Errorf("%v, %v", others, err)
	}
	equal(t, get(t, other, "k"), nil)
	path := filepath.Join(t.TempDir(), "copy")
	if err := one.Backup(background, path); err != nil {
		t.Fatal(err)
	}
	equal(t, get(t, reopened(t, path), "k"), []string{"k=v"})
}

func TestAClientThatIsDroppedIsWarnedOf(t *testing.T) {
	said := make(chan string, 1)
	before := slog.Default()
	defer slog.SetDefault(before)
	slog.SetDefault(slog.New(slog.NewTextHandler(lines(said), nil)))
	func() {
		c, err := OpenMemory()
		if err != nil {
			t.Fatal(err)
		}
		put(t, c, "k", "v")
	}()
	eventually(t, "a warning", func() bool { runtime.GC(); return len(said) > 0 })
	if text := <-said; !strings.Contains(text, "without Close") || !strings.Contains(text, "memory:") {
		t.Errorf("%s", text)
	}

	closed, err := OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	collected := make(chan struct{})
	runtime.AddCleanup(closed, func(done chan struct{}) { close(done) }, collected)
	closeClient(t, closed)
	closed = nil
	eventually(t, "the closed client is collected", func() bool {
		runtime.GC()
		select {
		case <-collected:
			return true
		default:
			return false
		}
	})
	if len(said) > 0 {
		t.Errorf("%s", <-said)
	}
}

// lines is a writer to a channel.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}
