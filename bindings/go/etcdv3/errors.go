package etcdv3

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// sent is an error as a server of etcd would send it: by its text clientv3 finds the one that programs compare with. Errors
// of a context stay what they are.
func sent(err error) error {
	if err == nil || ofContext(err) {
		return err
	}
	return status.Error(codeOf(err), textOf(err))
}

// sentOnStream is sent for errors that end a stream. Clients take Unavailable and Internal for reasons to open another one
// at once, and again without end; but a store in process that has failed, or was closed, stays so until it is opened anew.
func sentOnStream(err error) error {
	if err == nil || ofContext(err) {
		return err
	}
	code := codeOf(err)
	if code == codes.Unavailable || code == codes.Internal {
		code = codes.FailedPrecondition
	}
	return status.Error(code, textOf(err))
}

func ofContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// codeOf is gRPC's class of an error.
func codeOf(err error) codes.Code {
	if row, ok := rpctypes.StatusOf(err); ok {
		return codes.Code(row.Code)
	}
	return codes.Unknown
}

// textOf is etcd's text for an error, or ours if etcd has no such error.
func textOf(err error) string {
	if row, ok := rpctypes.StatusOf(err); ok && row.Etcd != "" {
		return row.Etcd
	}
	return rpctypes.ErrorDesc(err)
}
