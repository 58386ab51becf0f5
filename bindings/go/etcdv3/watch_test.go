package etcdv3

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/internal/raw"
	"github.com/etclite/etclite/bindings/go/internal/wire"
)

// The streams by themselves, without etcd's client between: it hides much of what is sent.

// openOurs is a store in memory under our own types, closed at the end of the test.
func openOurs(t *testing.T) (*etclite.Client, *transport) {
	t.Helper()
	client, err := etclite.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client, &transport{store: raw.Of(client)}
}

func openWatch(t *testing.T, ctx context.Context, over *transport) *watchStream {
	t.Helper()
	opened, err := watchClient{transport: over}.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return opened.(*watchStream)
}

func send(t *testing.T, stream pb.Watch_WatchClient, requests ...*pb.WatchRequest) {
	t.Helper()
	for _, request := range requests {
		if err := stream.Send(request); err != nil {
			t.Fatal(err)
		}
	}
}

func create(request *pb.WatchCreateRequest) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: request}}
}

func cancelOf(id int64) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}
}

func progress() *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
}

func receive(t *testing.T, stream pb.Watch_WatchClient) *pb.WatchResponse {
	t.Helper()
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// created is that the next response tells of a creation.
func created(t *testing.T, stream pb.Watch_WatchClient, id int64) *pb.WatchResponse {
	t.Helper()
	response := receive(t, stream)
	if !response.Created || response.Canceled || response.WatchId != id || len(response.Events) != 0 {
		t.Fatalf("instead of the creation of %d: %v", id, response)
	}
	return response
}

func put(t *testing.T, client *etclite.Client, key, value string) int64 {
	t.Helper()
	response, err := client.Put(t.Context(), key, value)
	if err != nil {
		t.Fatal(err)
	}
	return response.Header.Revision
}

// large is a value of which a watch reads one at a time.
var large = string(bytes.Repeat([]byte("x"), 200<<10))

func TestProgressComesAfterAllEventsUpToIt(t *testing.T) {
	client, over := openOurs(t)
	for range 3 {
		put(t, client, "a", large)
	}
	stream := openWatch(t, soon(t), over)
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 2}), create(&pb.WatchCreateRequest{Key: []byte("b")}),
		progress(), progress())
	created(t, stream, 0)
	created(t, stream, 1)
	for revision := int64(2); revision <= 4; {
		for _, event := range receive(t, stream).Events {
			if event.Kv.ModRevision != revision {
				t.Fatalf("revision %d instead of %d", event.Kv.ModRevision, revision)
			}
			revision++
		}
	}
	if told := receive(t, stream); told.WatchId != -1 || told.Header.Revision != 4 || told.Created || told.Canceled || len(told.Events) != 0 {
		t.Errorf("%v", told)
	}
	// What was asked for twice meanwhile was answered at once; what is asked for later is answered again.
	put(t, client, "c", "")
	send(t, stream, progress())
	if told := receive(t, stream); told.WatchId != -1 || told.Header.Revision != 5 {
		t.Errorf("%v", told)
	}
}

// Progress parts the events of all watches of a stream: those up to it came before, and all others come after.
func TestProgressAmongWrites(t *testing.T) {
	client, over := openOurs(t)
	const watches, last = 4, 2000
	stream := openWatch(t, soon(t), over)
	for i := range watches {
		send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a")}))
		created(t, stream, int64(i))
	}
	written := make(chan error, 1)
	go func() {
		for range last - 1 {
			if _, err := client.Put(context.Background(), "a", ""); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	seen, answers := make([]int64, watches), 0
	for i := range seen {
		seen[i] = 1
	}
	send(t, stream, progress())
	for answers == 0 || slices.Min(seen) < last {
		response := receive(t, stream)
		if response.WatchId == -1 {
			answers++
			if slices.Min(seen) != response.Header.Revision || slices.Max(seen) != response.Header.Revision {
				t.Fatalf("progress %d, and the watches stand at %v", response.Header.Revision, seen)
			}
			send(t, stream, progress())
			continue
		}
		for _, event := range response.Events {
			if event.Kv.ModRevision != seen[response.WatchId]+1 {
				t.Fatalf("watch %d: revision %d after %d", response.WatchId, event.Kv.ModRevision, seen[response.WatchId])
			}
			seen[response.WatchId]++
		}
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestProgressThatThereIsNot(t *testing.T) {
	client, over := openOurs(t)
	put(t, client, "a", "")
	stream := openWatch(t, soon(t), over)
	// Without watches, and with one that starts later, there is nothing to tell.
	send(t, stream, progress(), create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 4}))
	created(t, stream, 0)
	send(t, stream, progress(), create(&pb.WatchCreateRequest{Key: []byte("a")}))
	created(t, stream, 1)
	put(t, client, "a", "3")
	if response := receive(t, stream); response.WatchId != 1 || len(response.Events) != 1 {
		t.Errorf("%v", response)
	}
	put(t, client, "b", "4")
	send(t, stream, progress())
	if told := receive(t, stream); told.WatchId != -1 || told.Header.Revision != 4 {
		t.Errorf("%v", told)
	}
}

// A watch by itself tells of progress from its start on.
func TestProgressOfOneWatch(t *testing.T) {
	client, over := openOurs(t)
	stream := openWatch(t, soon(t), over)
	watch, _, err := over.store.Watch((&wire.WatchCreateRequest{Key: []byte("a"), StartRevision: 2}).Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	silent := &served{stream: stream, watch: watch, id: 3, start: 2}
	if told := silent.tellProgress(); told != always || stream.next() != nil {
		t.Error("a watch that starts later told of progress")
	}
	put(t, client, "b", "")
	silent.tellProgress()
	if told := receive(t, stream); told.WatchId != 3 || told.Header.Revision != 2 || len(told.Events) != 0 {
		t.Errorf("%v", told)
	}
}

// A watch that ends while others wait for it to catch up is waited for no longer.
func TestProgressWithoutAWatchThatIsCancelled(t *testing.T) {
	client, over := openOurs(t)
	put(t, client, "a", large)
	stream := openWatch(t, soon(t), over)
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("b")}), create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 2}))
	created(t, stream, 0)
	// The second has not begun yet: its creation was not received. The first waits for it alone.
	send(t, stream, progress())
	for behind := true; behind; runtime.Gosched() {
		stream.order.Lock()
		behind = stream.watches[0].behind
		stream.order.Unlock()
	}
	send(t, stream, cancelOf(1))
	created(t, stream, 1)
	// The watch is forgotten before its cancellation is told.
	if told := receive(t, stream); told.WatchId != -1 || told.Header.Revision != 2 {
		t.Errorf("%v", told)
	}
	if told := receive(t, stream); told.WatchId != 1 || !told.Canceled {
		t.Errorf("%v", told)
	}
}

func TestCancelIsAnsweredWithItsID(t *testing.T) {
	client, over := openOurs(t)
	stream := openWatch(t, soon(t), over)
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 7}))
	created(t, stream, 7)
	put(t, client, "a", "1")
	if response := receive(t, stream); response.WatchId != 7 || len(response.Events) != 1 {
		t.Errorf("%v", response)
	}
	// An id that nobody has is not answered.
	send(t, stream, cancelOf(8), cancelOf(7))
	if response := receive(t, stream); response.WatchId != 7 || !response.Canceled || response.Created ||
		response.CancelReason != "" || response.Header.Revision != 2 {
		t.Errorf("%v", response)
	}
	// The id is free again.
	put(t, client, "a", "2")
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 7}))
	if response := created(t, stream, 7); response.Header.Revision != 3 {
		t.Errorf("%v", response)
	}
}

// The end of a watch is told once, even if it is cancelled at the same time.
func TestCancelOfAWatchThatHasEnded(t *testing.T) {
	_, over := openOurs(t)
	stream := openWatch(t, soon(t), over)
	ended := &served{stream: stream, id: 5, cancel: func() {}, done: make(chan struct{}), ended: true}
	close(ended.done)
	stream.admit(ended)
	send(t, stream, cancelOf(5))
	stream.forget(ended)
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 5}))
	created(t, stream, 5)
}

func TestCreationsThatFail(t *testing.T) {
	client, over := openOurs(t)
	stream := openWatch(t, soon(t), over)
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 1}))
	created(t, stream, 1)
	for reason, request := range map[string]*pb.WatchCreateRequest{
		"mvcc: duplicate watch ID provided on the WatchStream":   {Key: []byte("b"), WatchId: 1},
		"etcdserver: mvcc: required revision has been compacted": {Key: []byte("b"), StartRevision: -1},
	} {
		send(t, stream, create(request))
		if response := receive(t, stream); !response.Created || !response.Canceled || response.WatchId != -1 || response.CancelReason != reason {
			t.Errorf("%q is told as %v", reason, response)
		}
	}
	// The first goes on, and ids are counted past its own; 0 was that of the second refusal.
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("c")}))
	created(t, stream, 2)
	put(t, client, "a", "")
	if response := receive(t, stream); response.WatchId != 1 || len(response.Events) != 1 {
		t.Errorf("%v", response)
	}
}

func TestCompactionOvertakesAWatch(t *testing.T) {
	client, over := openOurs(t)
	var head int64
	for range 6 {
		head = put(t, client, "a", large)
	}
	stream := openWatch(t, soon(t), over)
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 2}))
	created(t, stream, 0)
	// One response was received, and one may be on its way already.
	if response := receive(t, stream); len(response.Events) == 0 || response.Events[0].Kv.ModRevision != 2 {
		t.Fatalf("%v", response)
	}
	if _, err := client.Compact(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	response := receive(t, stream)
	if len(response.Events) > 0 {
		response = receive(t, stream)
	}
	if !response.Canceled || response.CompactRevision != head || response.WatchId != 0 || response.Header.Revision != 0 || response.CancelReason != "" {
		t.Errorf("%v", response)
	}
	// It is gone, and from the start it is the same.
	send(t, stream, cancelOf(0), create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 2}))
	created(t, stream, 1)
	if response := receive(t, stream); !response.Canceled || response.CompactRevision != head || response.WatchId != 1 || response.Header.Revision != 0 {
		t.Errorf("%v", response)
	}
}

// interrupted writes a key whenever somebody begins to watch.
type interrupted struct {
	raw.Store
	write func()
}

func (s interrupted) Watch(request []byte) (raw.Watch, int64, error) {
	s.write()
	return s.Store.Watch(request)
}

// Each change is either in what can be read at the revision of the creation, or told.
func TestNothingIsLostAroundACreation(t *testing.T) {
	client, over := openOurs(t)
	over.store = interrupted{over.store, func() { put(t, client, "a", "") }}
	stream := openWatch(t, soon(t), over)
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a")}))
	known := created(t, stream, 0).Header.Revision
	put(t, client, "a", "")
	if first := receive(t, stream).Events[0].Kv.ModRevision; first > known+1 {
		t.Errorf("created at %d, and told from %d on", known, first)
	}
}

func TestAWatchStreamWhoseContextEnds(t *testing.T) {
	_, over := openOurs(t)
	ctx, cancel := context.WithCancel(soon(t))
	stream := openWatch(t, ctx, over)
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a")}))
	served := stream.watches[0]
	cancel()
	// Although the creation was never received.
	if response, err := stream.Recv(); err != context.Canceled {
		t.Error(response, err)
	}
	if err := stream.Send(progress()); err != context.Canceled {
		t.Error(err)
	}
	<-served.done
}

func TestCloseSendEndsAWatchStream(t *testing.T) {
	_, over := openOurs(t)
	stream := openWatch(t, soon(t), over)
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a")}))
	created(t, stream, 0)
	served := stream.watches[0]
	for range 2 {
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
	}
	if response, err := stream.Recv(); err != io.EOF {
		t.Error(response, err)
	}
	if err := stream.Send(progress()); err != io.EOF {
		t.Error(err)
	}
	<-served.done
}

// stopped is that a stream ended with its store, and in a way that makes no client try again.
func stopped(t *testing.T, stream pb.Watch_WatchClient) {
	t.Helper()
	for {
		_, err := stream.Recv()
		if err == nil {
			continue
		}
		if told := status.Convert(err); told.Code() != codes.FailedPrecondition || told.Message() != "etcdserver: server stopped" {
			t.Errorf("a stream of a closed store: %v", err)
		}
		return
	}
}

// closes fails if a client that is closed waits for somebody.
func closes(t *testing.T, client *etclite.Client) {
	t.Helper()
	closed := make(chan error, 1)
	go func() { closed <- client.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-soon(t).Done():
		t.Fatal("the store does not close")
	}
}

// Streams on which nobody calls Recv keep no store open, whatever their watches wait for.
func TestACloseWaitsForNoReader(t *testing.T) {
	client, over := openOurs(t)
	untold, undelivered, idle, empty := openWatch(t, soon(t), over), openWatch(t, soon(t), over), openWatch(t, soon(t), over), openWatch(t, soon(t), over)
	send(t, untold, create(&pb.WatchCreateRequest{Key: []byte("a")}))
	send(t, undelivered, create(&pb.WatchCreateRequest{Key: []byte("a")}))
	created(t, undelivered, 0)
	send(t, idle, create(&pb.WatchCreateRequest{Key: []byte("b"), ProgressNotify: true}))
	created(t, idle, 0)
	put(t, client, "a", "")
	closes(t, client)
	for _, stream := range []*watchStream{untold, undelivered, idle, empty} {
		stopped(t, stream)
	}
}

// A store that is open for reading tells what it holds, and no more; its progress too, and then it can be closed.
func TestAWatchOfAStoreThatIsOpenForReading(t *testing.T) {
	path := t.TempDir() + "/store"
	client, err := etclite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, client, "a", "")
	closes(t, client)
	if client, err = etclite.Open(path, etclite.WithReadOnly()); err != nil {
		t.Fatal(err)
	}
	stream := openWatch(t, soon(t), &transport{store: raw.Of(client)})
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 1}))
	created(t, stream, 0)
	if response := receive(t, stream); len(response.Events) != 1 {
		t.Errorf("%v", response)
	}
	for range 2 {
		send(t, stream, progress())
		if told := receive(t, stream); told.WatchId != -1 || told.Header.Revision != 2 {
			t.Errorf("%v", told)
		}
	}
	closes(t, client)
	stopped(t, stream)
}

func TestTheContextOfAConfigEndsStreams(t *testing.T) {
	ctx, cancel := context.WithCancel(soon(t))
	client, err := etclite.New(etclite.Config{Endpoints: []string{"memory:"}, Context: ctx})
	if err != nil {
		t.Fatal(err)
	}
	store := raw.Of(client)
	stream := openWatch(t, soon(t), &transport{store: store})
	send(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a")}))
	created(t, stream, 0)
	watch, _, err := store.Watch((&wire.WatchCreateRequest{Key: []byte("a")}).Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	served := stream.watches[0]
	cancel()
	stopped(t, stream)
	<-served.done
	<-store.Done()
	// There is no more, even to one who does not look whether the store is over.
	if bytes, _, err := watch.Next(); bytes != nil || err != context.Canceled {
		t.Errorf("%q, %v", bytes, err)
	}
	watch.Close()
	closes(t, client)
}

// Both ways out of a store under two clients: the other one learns of it.
func TestOverIsClosedFromOurSide(t *testing.T) {
	opened, err := etclite.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	client, err := Over(opened)
	if err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	events := client.Watch(ctx, "a")
	put(t, opened, "a", "")
	if response := <-events; len(response.Events) != 1 {
		t.Errorf("%v", response)
	}
	closes(t, opened)
	if last := <-events; !last.Canceled || last.Err() != rpctypes.ErrStopped {
		t.Errorf("%v", last.Err())
	}
	if _, open := <-events; open {
		t.Error("the watch goes on")
	}
	if _, err := client.Put(ctx, "a", ""); err != rpctypes.ErrStopped {
		t.Error(err)
	}
	if err := client.Close(); err != context.Canceled {
		t.Error(err)
	}
}
