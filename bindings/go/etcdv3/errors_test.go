package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"testing"

	theirs "go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// Each error of the library is sent with the class and the text of its table, and etcd's texts are found by etcd's client.
func TestErrorsAreSentAsByAServer(t *testing.T) {
	for _, row := range rpctypes.Statuses() {
		err := rpctypes.FromStatus(row.Number, 0, "what the library says")
		told := status.Convert(sent(fmt.Errorf("put: %w", err)))
		if told.Code() != codes.Code(row.Code) || row.Etcd != "" && told.Message() != row.Etcd || told.Message() == "" {
			t.Errorf("%s is sent as %v", row.Name, told)
		}
		named := theirs.EtcdError{}
		if found := errors.As(theirs.Error(sent(err)), &named); row.Etcd != "" && !found && !unknown[row.Name] {
			t.Errorf("%s becomes %v", row.Name, theirs.Error(sent(err)))
		}
	}
}

// unknown are errors with a text of etcd that not every release of its client looks for among what a server sends.
var unknown = map[string]bool{
	"INVALID_SORT": true, "WATCH_CANCELED": true, "CANCELED": true,
	// These are variables of package concurrency.
	"SESSION_EXPIRED": true, "NOT_LEADER_OF_ELECTION": true, "LOCK_RELEASED": true,
}

// What ends a stream never makes a client try again.
func TestErrorsOfStreamsHalt(t *testing.T) {
	for _, row := range rpctypes.Statuses() {
		err := rpctypes.FromStatus(row.Number, 0, "what the library says")
		code := status.Code(sentOnStream(err))
		if code == codes.Unavailable || code == codes.Internal || code == codes.OK {
			t.Errorf("%s is sent with code %v", row.Name, code)
		}
		if status.Convert(sentOnStream(err)).Message() != status.Convert(sent(err)).Message() {
			t.Errorf("%s has another text on a stream", row.Name)
		}
	}
}

func TestErrorsThatAreNotTheLibrarys(t *testing.T) {
	for _, send := range []func(error) error{sent, sentOnStream} {
		if send(nil) != nil || send(context.Canceled) != context.Canceled || send(context.DeadlineExceeded) != context.DeadlineExceeded {
			t.Error("an error of a context was changed")
		}
		if told := status.Convert(send(errors.New("other"))); told.Code() != codes.Unknown || told.Message() != "other" {
			t.Error(told)
		}
	}
}
