package etcdv3

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// coded is what the errors of package rpctypes have.
type coded interface {
	error
	Code() rpctypes.Code
}

// sent is an error as a server of etcd would send it: by its text clientv3 finds the one that programs compare with. Errors
// of a context stay what they are.
func sent(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	// Clients take Unavailable for a reason to try again, for ever; a store that was closed stays so.
	if errors.Is(err, rpctypes.ErrClosed) {
		return status.Error(codes.Canceled, err.Error())
	}
	var known coded
	if !errors.As(err, &known) {
		return status.Error(codes.Unknown, err.Error())
	}
	return status.Error(codes.Code(known.Code()), rpctypes.ErrorDesc(err))
}

// textOf is what a server of etcd tells of an error on a watch.
func textOf(err error) string {
	return rpctypes.ErrorDesc(err)
}
