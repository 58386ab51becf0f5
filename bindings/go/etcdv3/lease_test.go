package etcdv3

import (
	"context"
	"io"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func openKeepAlive(t *testing.T, ctx context.Context, over *transport) pb.Lease_LeaseKeepAliveClient {
	t.Helper()
	stream, err := leaseClient{transport: over}.LeaseKeepAlive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestRenewalsAreAnsweredInOrder(t *testing.T) {
	client, over := openOurs(t)
	ctx := soon(t)
	lease, err := client.Grant(ctx, 30)
	if err != nil {
		t.Fatal(err)
	}
	stream := openKeepAlive(t, ctx, over)
	gone := int64(lease.ID) + 1
	for _, id := range []int64{int64(lease.ID), gone, int64(lease.ID)} {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		reply, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		// A lease that is gone is no error, but has no time left.
		want := pb.LeaseKeepAliveResponse{ID: int64(lease.ID), TTL: 30}
		if i == 1 {
			want = pb.LeaseKeepAliveResponse{ID: gone}
		}
		if reply.ID != want.ID || reply.TTL != want.TTL || reply.Header.Revision != 1 {
			t.Errorf("answer %d: %v", i, reply)
		}
	}
}

func TestCloseSendOfRenewals(t *testing.T) {
	_, over := openOurs(t)
	stream := openKeepAlive(t, soon(t), over)
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 7}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
	}
	// What was sent is answered, and that is all.
	if reply, err := stream.Recv(); err != nil || reply.ID != 7 || reply.TTL != 0 {
		t.Error(reply, err)
	}
	if reply, err := stream.Recv(); err != io.EOF {
		t.Error(reply, err)
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 7}); err != io.EOF {
		t.Error(err)
	}
}

func TestRenewalsWhoseContextEnds(t *testing.T) {
	_, over := openOurs(t)
	ctx, cancel := context.WithCancel(soon(t))
	stream := openKeepAlive(t, ctx, over)
	cancel()
	if reply, err := stream.Recv(); err != context.Canceled {
		t.Error(reply, err)
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 7}); err != context.Canceled {
		t.Error(err)
	}
	if stream.Context() != ctx {
		t.Error("another context")
	}
}

// The answers that may wait are bounded: whoever does not receive them is held up.
func TestRenewalsThatNobodyReceives(t *testing.T) {
	_, over := openOurs(t)
	ctx, cancel := context.WithCancel(soon(t))
	stream := openKeepAlive(t, ctx, over)
	for range keepAlivesMax {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 7}); err != nil {
			t.Fatal(err)
		}
	}
	sent := make(chan error)
	go func() { sent <- stream.Send(&pb.LeaseKeepAliveRequest{ID: 7}) }()
	cancel()
	if err := <-sent; err != context.Canceled {
		t.Error(err)
	}
}
