package etcdv3

import (
	"context"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/etclite/etclite/bindings/go/internal/wire"
)

// leaseClient is etcd's Lease service.
type leaseClient struct {
	pb.LeaseClient
	*transport
}

func (c leaseClient) LeaseGrant(
	ctx context.Context, in *pb.LeaseGrantRequest, _ ...grpc.CallOption,
) (*pb.LeaseGrantResponse, error) {
	var reply wire.LeaseGrantResponse
	if err := c.write(ctx, wire.OpLeaseGrant, &wire.LeaseGrantRequest{TTL: in.TTL, ID: in.ID}, &reply); err != nil {
		return nil, err
	}
	return &pb.LeaseGrantResponse{Header: header(reply.Header), ID: reply.ID, TTL: reply.TTL, Error: reply.Error}, nil
}

func (c leaseClient) LeaseRevoke(
	ctx context.Context, in *pb.LeaseRevokeRequest, _ ...grpc.CallOption,
) (*pb.LeaseRevokeResponse, error) {
	var reply wire.LeaseRevokeResponse
	if err := c.write(ctx, wire.OpLeaseRevoke, &wire.LeaseRevokeRequest{ID: in.ID}, &reply); err != nil {
		return nil, err
	}
	return &pb.LeaseRevokeResponse{Header: header(reply.Header)}, nil
}

func (c leaseClient) LeaseTimeToLive(
	ctx context.Context, in *pb.LeaseTimeToLiveRequest, _ ...grpc.CallOption,
) (*pb.LeaseTimeToLiveResponse, error) {
	var reply wire.LeaseTimeToLiveResponse
	request := wire.LeaseTimeToLiveRequest{ID: in.ID, Keys: in.Keys}
	if err := c.read(ctx, wire.OpLeaseTimeToLive, &request, &reply); err != nil {
		return nil, err
	}
	return &pb.LeaseTimeToLiveResponse{
		Header: header(reply.Header), ID: reply.ID, TTL: reply.TTL, GrantedTTL: reply.GrantedTTL, Keys: reply.Keys,
	}, nil
}

func (c leaseClient) LeaseLeases(
	ctx context.Context, _ *pb.LeaseLeasesRequest, _ ...grpc.CallOption,
) (*pb.LeaseLeasesResponse, error) {
	var reply wire.LeaseLeasesResponse
	if err := c.read(ctx, wire.OpLeaseLeases, nothing{}, &reply); err != nil {
		return nil, err
	}
	out := &pb.LeaseLeasesResponse{Header: header(reply.Header)}
	for _, lease := range reply.Leases {
		out.Leases = append(out.Leases, &pb.LeaseStatus{ID: lease.ID})
	}
	return out, nil
}

// nothing is a request without fields.
type nothing struct{}

func (nothing) Append(b []byte) []byte { return b }

// LeaseKeepAlive opens a stream of renewals.
func (c leaseClient) LeaseKeepAlive(ctx context.Context, _ ...grpc.CallOption) (pb.Lease_LeaseKeepAliveClient, error) {
	return &keepAliveStream{stream: stream{ctx: ctx}, transport: c.transport, replies: make(chan keepAlive, keepAlivesMax)}, nil
}

// keepAlivesMax is how many answers of renewals may wait to be received; whoever renews beyond waits in Send.
const keepAlivesMax = 64

type keepAlive struct {
	reply *pb.LeaseKeepAliveResponse
	err   error
}

// keepAliveStream answers each request in Send, and keeps the answer for Recv.
type keepAliveStream struct {
	stream
	*transport
	replies chan keepAlive
}

// Send renews the lease.
func (s *keepAliveStream) Send(in *pb.LeaseKeepAliveRequest) error {
	if err := s.check(); err != nil {
		return err
	}
	var answer keepAlive
	answer.reply, answer.err = s.renew(in.ID)
	select {
	case s.replies <- answer:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// renew answers a request. That the lease is gone is no error here, but an answer without time left.
func (s *keepAliveStream) renew(id int64) (*pb.LeaseKeepAliveResponse, error) {
	request := wire.LeaseKeepAliveRequest{ID: id}
	bytes, err := s.store.Write(s.ctx, wire.OpLeaseKeepAlive, request.Append(nil))
	var reply wire.LeaseKeepAliveResponse
	if err == nil {
		err = reply.Decode(bytes)
	}
	if err != nil {
		return nil, sentOnStream(err)
	}
	return &pb.LeaseKeepAliveResponse{Header: header(reply.Header), ID: id, TTL: reply.TTL}, nil
}

// Recv waits for the answer to the next request.
func (s *keepAliveStream) Recv() (*pb.LeaseKeepAliveResponse, error) {
	select {
	case answer := <-s.replies:
		return answer.reply, answer.err
	default:
	}
	select {
	case answer := <-s.replies:
		return answer.reply, answer.err
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	case <-s.closedSend():
		return nil, io.EOF
	}
}
