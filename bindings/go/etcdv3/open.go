package etcdv3

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/internal/raw"
)

// transport is what the services have in common.
type transport struct {
	store raw.Store
}

// ready says why a call that does not reach the library must not begin either.
func (t *transport) ready(ctx context.Context) error { return sent(t.store.Ready(ctx)) }

// header is that of an answer that is made here.
func (t *transport) header(revision int64) *pb.ResponseHeader {
	cluster, member, term := t.store.IDs()
	return &pb.ResponseHeader{ClusterId: cluster, MemberId: member, Revision: revision, RaftTerm: term}
}

// caller makes one call of the library.
type caller = func(ctx context.Context, op uint32, request []byte) ([]byte, error)

// Open opens the store in the directory path, which is made if it is not there, as etclite.Open does; the options are the
// same. The client must be closed, and closing it closes the store.
func Open(path string, options ...etclite.Option) (*clientv3.Client, error) {
	opened, err := etclite.Open(path, options...)
	if err != nil {
		return nil, err
	}
	return Over(opened)
}

// OpenMemory makes a new store in memory, of which nothing is left once its client is closed.
func OpenMemory(options ...etclite.Option) (*clientv3.Client, error) {
	opened, err := etclite.OpenMemory(options...)
	if err != nil {
		return nil, err
	}
	return Over(opened)
}

// Over is etcd's client over a store that is open already, which etcd's and our own types can then use side by side. Closing
// either closes the store for both, and so does a failure.
func Over(opened *etclite.Client) (*clientv3.Client, error) {
	refusing, err := refusingConnection()
	if err != nil {
		_ = opened.Close()
		return nil, err
	}
	t := &transport{store: raw.Of(opened)}
	c := clientv3.NewCtxClient(context.Background())
	c.KV = clientv3.NewKVFromKVClient(kvClient{pb.NewKVClient(refusing), t}, c)
	c.Lease = clientv3.NewLeaseFromLeaseClient(leaseClient{pb.NewLeaseClient(refusing), t}, c, time.Second)
	c.Watcher = closingWatcher{
		Watcher: clientv3.NewWatchFromWatchClient(watchClient{pb.NewWatchClient(refusing), t}, c),
		close:   func() { _ = refusing.Close(); _ = opened.Close() },
	}
	maintenance := maintenanceClient{pb.NewMaintenanceClient(refusing), t}
	c.Maintenance = clientv3.NewMaintenanceFromMaintenanceClient(maintenance, c)
	c.Cluster = clientv3.NewClusterFromClusterClient(clusterClient{pb.NewClusterClient(refusing), t}, c)
	c.Auth = clientv3.NewAuthFromAuthClient(pb.NewAuthClient(refusing), c)
	return c, nil
}

// closingWatcher closes the store behind a client: the client closes its watcher, and then its lessor, which needs no store
// for that.
type closingWatcher struct {
	clientv3.Watcher
	close func()
}

// Close ends all watches and closes the store.
func (w closingWatcher) Close() error {
	err := w.Watcher.Close()
	w.close()
	return err
}

// refusingConnection is behind what the library does not do: it never connects, and each call on it is refused.
func refusingConnection() (*grpc.ClientConn, error) {
	refuse := func(method string) error {
		return status.Errorf(codes.Unimplemented, "etclite: %s is not supported by a store in process", method)
	}
	unary := func(_ context.Context, method string, _, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
		return refuse(method)
	}
	streaming := func(
		_ context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, method string, _ grpc.Streamer, _ ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		return nil, refuse(method)
	}
	return grpc.NewClient("passthrough:///etclite", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(unary), grpc.WithStreamInterceptor(streaming))
}
