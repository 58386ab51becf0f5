package rpctypes

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// The table of etcd 3.7: what clients know errors by.
var etcdTable = []struct {
	sent, returned error
	code           Code
	text           string
}{
	{ErrGRPCEmptyKey, ErrEmptyKey, CodeInvalidArgument, "etcdserver: key is not provided"},
	{ErrGRPCKeyNotFound, ErrKeyNotFound, CodeInvalidArgument, "etcdserver: key not found"},
	{ErrGRPCValueProvided, ErrValueProvided, CodeInvalidArgument, "etcdserver: value is provided"},
	{ErrGRPCLeaseProvided, ErrLeaseProvided, CodeInvalidArgument, "etcdserver: lease is provided"},
	{ErrGRPCTooManyOps, ErrTooManyOps, CodeInvalidArgument, "etcdserver: too many operations in txn request"},
	{ErrGRPCDuplicateKey, ErrDuplicateKey, CodeInvalidArgument, "etcdserver: duplicate key given in txn request"},
	{ErrGRPCInvalidClientAPIVersion, ErrInvalidClientAPIVersion, CodeInvalidArgument, "etcdserver: invalid client api version"},
	{ErrGRPCInvalidSortOption, ErrInvalidSortOption, CodeInvalidArgument, "etcdserver: invalid sort option"},
	{ErrGRPCCompacted, ErrCompacted, CodeOutOfRange, "etcdserver: mvcc: required revision has been compacted"},
	{ErrGRPCFutureRev, ErrFutureRev, CodeOutOfRange, "etcdserver: mvcc: required revision is a future revision"},
	{ErrGRPCNoSpace, ErrNoSpace, CodeResourceExhausted, "etcdserver: mvcc: database space exceeded"},
	{ErrGRPCLeaseNotFound, ErrLeaseNotFound, CodeNotFound, "etcdserver: requested lease not found"},
	{ErrGRPCLeaseExist, ErrLeaseExist, CodeFailedPrecondition, "etcdserver: lease already exists"},
	{ErrGRPCLeaseTTLTooLarge, ErrLeaseTTLTooLarge, CodeOutOfRange, "etcdserver: too large lease TTL"},
	{ErrGRPCWatchCanceled, ErrWatchCanceled, CodeCanceled, "etcdserver: watch canceled"},
	{ErrGRPCMemberExist, ErrMemberExist, CodeFailedPrecondition, "etcdserver: member ID already exist"},
	{ErrGRPCPeerURLExist, ErrPeerURLExist, CodeFailedPrecondition, "etcdserver: Peer URLs already exists"},
	{ErrGRPCMemberNotEnoughStarted, ErrMemberNotEnoughStarted, CodeFailedPrecondition, "etcdserver: re-configuration failed due to not enough started members"},
	{ErrGRPCMemberBadURLs, ErrMemberBadURLs, CodeInvalidArgument, "etcdserver: given member URLs are invalid"},
	{ErrGRPCMemberNotFound, ErrMemberNotFound, CodeNotFound, "etcdserver: member not found"},
	{ErrGRPCMemberNotLearner, ErrMemberNotLearner, CodeFailedPrecondition, "etcdserver: can only promote a learner member"},
	{ErrGRPCLearnerNotReady, ErrMemberLearnerNotReady, CodeFailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader"},
	{ErrGRPCTooManyLearners, ErrTooManyLearners, CodeFailedPrecondition, "etcdserver: too many learner members in cluster"},
	{ErrGRPCClusterIDMismatch, ErrClusterIDMismatch, CodeFailedPrecondition, "etcdserver: cluster ID mismatch"},
	{ErrGRPCRequestTooLarge, ErrRequestTooLarge, CodeInvalidArgument, "etcdserver: request is too large"},
	{ErrGRPCRequestTooManyRequests, ErrTooManyRequests, CodeResourceExhausted, "etcdserver: too many requests"},
	{ErrGRPCRootUserNotExist, ErrRootUserNotExist, CodeFailedPrecondition, "etcdserver: root user does not exist"},
	{ErrGRPCRootRoleNotExist, ErrRootRoleNotExist, CodeFailedPrecondition, "etcdserver: root user does not have root role"},
	{ErrGRPCUserAlreadyExist, ErrUserAlreadyExist, CodeFailedPrecondition, "etcdserver: user name already exists"},
	{ErrGRPCUserEmpty, ErrUserEmpty, CodeInvalidArgument, "etcdserver: user name is empty"},
	{ErrGRPCUserNotFound, ErrUserNotFound, CodeFailedPrecondition, "etcdserver: user name not found"},
	{ErrGRPCRoleAlreadyExist, ErrRoleAlreadyExist, CodeFailedPrecondition, "etcdserver: role name already exists"},
	{ErrGRPCRoleNotFound, ErrRoleNotFound, CodeFailedPrecondition, "etcdserver: role name not found"},
	{ErrGRPCRoleEmpty, ErrRoleEmpty, CodeInvalidArgument, "etcdserver: role name is empty"},
	{ErrGRPCAuthFailed, ErrAuthFailed, CodeInvalidArgument, "etcdserver: authentication failed, invalid user ID or password"},
	{ErrGRPCPermissionNotGiven, ErrPermissionNotGiven, CodeInvalidArgument, "etcdserver: permission not given"},
	{ErrGRPCPermissionDenied, ErrPermissionDenied, CodePermissionDenied, "etcdserver: permission denied"},
	{ErrGRPCRoleNotGranted, ErrRoleNotGranted, CodeFailedPrecondition, "etcdserver: role is not granted to the user"},
	{ErrGRPCPermissionNotGranted, ErrPermissionNotGranted, CodeFailedPrecondition, "etcdserver: permission is not granted to the role"},
	{ErrGRPCAuthNotEnabled, ErrAuthNotEnabled, CodeFailedPrecondition, "etcdserver: authentication is not enabled"},
	{ErrGRPCInvalidAuthToken, ErrInvalidAuthToken, CodeUnauthenticated, "etcdserver: invalid auth token"},
	{ErrGRPCInvalidAuthMgmt, ErrInvalidAuthMgmt, CodeInvalidArgument, "etcdserver: invalid auth management"},
	{ErrGRPCAuthOldRevision, ErrAuthOldRevision, CodeInvalidArgument, "etcdserver: revision of auth store is old"},
	{ErrGRPCNoLeader, ErrNoLeader, CodeUnavailable, "etcdserver: no leader"},
	{ErrGRPCNotLeader, ErrNotLeader, CodeFailedPrecondition, "etcdserver: not leader"},
	{ErrGRPCLeaderChanged, ErrLeaderChanged, CodeUnavailable, "etcdserver: leader changed"},
	{ErrGRPCNotCapable, ErrNotCapable, CodeFailedPrecondition, "etcdserver: not capable"},
	{ErrGRPCStopped, ErrStopped, CodeUnavailable, "etcdserver: server stopped"},
	{ErrGRPCTimeout, ErrTimeout, CodeUnavailable, "etcdserver: request timed out"},
	{ErrGRPCTimeoutDueToLeaderFail, ErrTimeoutDueToLeaderFail, CodeUnavailable, "etcdserver: request timed out, possibly due to previous leader failure"},
	{ErrGRPCTimeoutDueToConnectionLost, ErrTimeoutDueToConnectionLost, CodeUnavailable, "etcdserver: request timed out, possibly due to connection lost"},
	{ErrGRPCTimeoutWaitAppliedIndex, ErrTimeoutWaitAppliedIndex, CodeUnavailable, "etcdserver: request timed out, waiting for the applied index took too long"},
	{ErrGRPCUnhealthy, ErrUnhealthy, CodeUnavailable, "etcdserver: unhealthy cluster"},
	{ErrGRPCCorrupt, ErrCorrupt, CodeDataLoss, "etcdserver: corrupt cluster"},
	{ErrGRPCNotSupportedForLearner, ErrNotSupportedForLearner, CodeFailedPrecondition, "etcdserver: rpc not supported for learner"},
	{ErrGRPCBadLeaderTransferee, ErrBadLeaderTransferee, CodeFailedPrecondition, "etcdserver: bad leader transferee"},
	{ErrGRPCWrongDowngradeVersionFormat, ErrWrongDowngradeVersionFormat, CodeInvalidArgument, "etcdserver: wrong downgrade target version format"},
	{ErrGRPCInvalidDowngradeTargetVersion, ErrInvalidDowngradeTargetVersion, CodeInvalidArgument, "etcdserver: invalid downgrade target version"},
	{ErrGRPCClusterVersionUnavailable, ErrClusterVersionUnavailable, CodeFailedPrecondition, "etcdserver: cluster version not found during downgrade"},
	{ErrGRPCDowngradeInProcess, ErrDowngradeInProcess, CodeFailedPrecondition, "etcdserver: cluster has a downgrade job in progress"},
	{ErrGRPCNoInflightDowngrade, ErrNoInflightDowngrade, CodeFailedPrecondition, "etcdserver: no inflight downgrade job"},
	{ErrGRPCCanceled, ErrCanceled, CodeCanceled, "etcdserver: request canceled"},
	{ErrGRPCDeadlineExceeded, ErrDeadlineExceeded, CodeDeadlineExceeded, "etcdserver: context deadline exceeded"},
}

func TestTextsAndCodesAreEtcds(t *testing.T) {
	for _, row := range etcdTable {
		known, ok := row.returned.(EtcdError)
		if !ok || known.Error() != row.text || known.Code() != row.code {
			t.Errorf("%v: code %v", row.returned, known.Code())
		}
		if want := fmt.Sprintf("rpc error: code = %s desc = %s", row.code, row.text); row.sent.Error() != want {
			t.Errorf("%q instead of %q", row.sent, want)
		}
		if ErrorDesc(row.sent) != row.text || ErrorDesc(row.returned) != row.text {
			t.Errorf("%q is described as %q", row.sent, ErrorDesc(row.sent))
		}
		for _, err := range []error{row.sent, row.returned, errors.New(row.text)} {
			if Error(err) != row.returned || !errors.Is(fmt.Errorf("put: %w", Error(err)), row.returned) {
				t.Errorf("%v becomes %v", err, Error(err))
			}
		}
	}
}

func TestOtherErrorsStayAsTheyAre(t *testing.T) {
	if Error(nil) != nil || Error(io.EOF) != io.EOF {
		t.Error("an error that is not etcd's was changed")
	}
	for _, status := range statuses {
		if Error(status.Err) != status.Err {
			t.Errorf("%v was changed", status.Err)
		}
	}
}

func TestStatusesBecomeErrorsThatCanBeCompared(t *testing.T) {
	seen := map[error]string{}
	for _, status := range Statuses() {
		if other, ok := seen[status.Err]; ok {
			t.Errorf("%s and %s are the same error", status.Name, other)
		}
		seen[status.Err] = status.Name
		err := FromStatus(status.Number, 7, "what the library says")
		if !errors.Is(err, status.Err) {
			t.Errorf("%s becomes %v", status.Name, err)
		}
		if row, ok := StatusOf(fmt.Errorf("put: %w", err)); !ok || row != status {
			t.Errorf("%s is found as %+v", status.Name, row)
		}
		if !status.Detailed {
			if err != status.Err {
				t.Errorf("%s cannot be compared with ==", status.Name)
			}
			continue
		}
		var told *StatusError
		if !errors.As(err, &told) || told.Detail != 7 || told.Number != status.Number ||
			told.Error() != "etclite: what the library says" || told.Code() != status.Err.(EtcdError).Code() {
			t.Errorf("%s becomes %#v", status.Name, err)
		}
		if text := FromStatus(status.Number, 0, "").Error(); text != status.Err.Error() {
			t.Errorf("%s without a text is %q", status.Name, text)
		}
	}
}

func TestStatusesThatAreNoErrorsOrUnknown(t *testing.T) {
	for _, number := range []int32{StatusOK, StatusNotFound, StatusTimeout, StatusEnd, StatusNotAcquired, 1 << 30} {
		if err := FromStatus(number, 0, "text"); err != nil {
			t.Errorf("%d became %v", number, err)
		}
	}
	for _, err := range []error{nil, io.EOF, ErrUnknown, ErrRoleNotFound} {
		if row, ok := StatusOf(err); ok {
			t.Errorf("%v is a status: %+v", err, row)
		}
	}
	if err := FromStatus(-1000, 0, "from the future"); !errors.Is(err, ErrUnknown) || err.Error() != "etclite: from the future" {
		t.Errorf("an unknown status became %v", err)
	}
}

func TestNamesOfCodes(t *testing.T) {
	if CodeInvalidArgument.String() != "InvalidArgument" || CodeUnauthenticated.String() != "Unauthenticated" || Code(99).String() != "Code(99)" {
		t.Error("gRPC names its codes otherwise")
	}
}
