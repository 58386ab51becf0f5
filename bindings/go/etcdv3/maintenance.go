package etcdv3

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/etclite/etclite/bindings/go/internal/wire"
)

// maintenanceClient is etcd's Maintenance service, of one store.
type maintenanceClient struct {
	pb.MaintenanceClient
	*transport
}

func (c maintenanceClient) Status(
	ctx context.Context, _ *pb.StatusRequest, _ ...grpc.CallOption,
) (*pb.StatusResponse, error) {
	var reply wire.StatusResponse
	if err := c.read(ctx, wire.OpStatus, nothing{}, &reply); err != nil {
		return nil, err
	}
	return &pb.StatusResponse{
		Header: header(reply.Header), Version: reply.Version, DbSize: reply.DbSize, DbSizeInUse: reply.DbSizeInUse,
		Leader: reply.Leader, RaftIndex: reply.RaftIndex, RaftTerm: reply.RaftTerm,
		RaftAppliedIndex: reply.RaftAppliedIndex, Errors: reply.Errors, IsLearner: reply.IsLearner,
	}, nil
}

func (c maintenanceClient) HashKV(
	ctx context.Context, in *pb.HashKVRequest, _ ...grpc.CallOption,
) (*pb.HashKVResponse, error) {
	var reply wire.HashKVResponse
	if err := c.read(ctx, wire.OpHashKV, &wire.HashKVRequest{Revision: in.Revision}, &reply); err != nil {
		return nil, err
	}
	return &pb.HashKVResponse{Header: header(reply.Header), Hash: reply.Hash, CompactRevision: reply.CompactRevision}, nil
}

// Alarm lists no alarms, since there never are any; to raise or to disarm one is refused.
func (c maintenanceClient) Alarm(
	ctx context.Context, in *pb.AlarmRequest, opts ...grpc.CallOption,
) (*pb.AlarmResponse, error) {
	if in.Action != pb.AlarmRequest_GET {
		return c.MaintenanceClient.Alarm(ctx, in, opts...)
	}
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	return &pb.AlarmResponse{Header: c.header(c.store.Revision())}, nil
}

// Defragment does nothing: a store gives space back by itself, and there is nothing to defragment. As of
// etcd, the answer has no revision.
func (c maintenanceClient) Defragment(
	ctx context.Context, _ *pb.DefragmentRequest, _ ...grpc.CallOption,
) (*pb.DefragmentResponse, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	return &pb.DefragmentResponse{Header: c.header(0)}, nil
}

// clusterClient is etcd's Cluster service: a store by itself is its only member.
type clusterClient struct {
	pb.ClusterClient
	*transport
}

// MemberList has no revision in its header, as etcd's has none.
func (c clusterClient) MemberList(
	ctx context.Context, _ *pb.MemberListRequest, _ ...grpc.CallOption,
) (*pb.MemberListResponse, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	_, member, _ := c.store.IDs()
	return &pb.MemberListResponse{Header: c.header(0), Members: []*pb.Member{{ID: member, Name: "etclite"}}}, nil
}
