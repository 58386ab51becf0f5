package rpctypes

// Errors as etcd's server sends them.
var (
	ErrGRPCEmptyKey                error = grpcError{CodeInvalidArgument, "etcdserver: key is not provided"}
	ErrGRPCKeyNotFound             error = grpcError{CodeInvalidArgument, "etcdserver: key not found"}
	ErrGRPCValueProvided           error = grpcError{CodeInvalidArgument, "etcdserver: value is provided"}
	ErrGRPCLeaseProvided           error = grpcError{CodeInvalidArgument, "etcdserver: lease is provided"}
	ErrGRPCTooManyOps              error = grpcError{CodeInvalidArgument, "etcdserver: too many operations in txn request"}
	ErrGRPCDuplicateKey            error = grpcError{CodeInvalidArgument, "etcdserver: duplicate key given in txn request"}
	ErrGRPCInvalidClientAPIVersion error = grpcError{CodeInvalidArgument, "etcdserver: invalid client api version"}
	ErrGRPCInvalidSortOption       error = grpcError{CodeInvalidArgument, "etcdserver: invalid sort option"}
	ErrGRPCCompacted               error = grpcError{CodeOutOfRange, "etcdserver: mvcc: required revision has been compacted"}
	ErrGRPCFutureRev               error = grpcError{CodeOutOfRange, "etcdserver: mvcc: required revision is a future revision"}
	ErrGRPCNoSpace                 error = grpcError{CodeResourceExhausted, "etcdserver: mvcc: database space exceeded"}

	ErrGRPCLeaseNotFound    error = grpcError{CodeNotFound, "etcdserver: requested lease not found"}
	ErrGRPCLeaseExist       error = grpcError{CodeFailedPrecondition, "etcdserver: lease already exists"}
	ErrGRPCLeaseTTLTooLarge error = grpcError{CodeOutOfRange, "etcdserver: too large lease TTL"}

	ErrGRPCWatchCanceled error = grpcError{CodeCanceled, "etcdserver: watch canceled"}

	ErrGRPCMemberExist            error = grpcError{CodeFailedPrecondition, "etcdserver: member ID already exist"}
	ErrGRPCPeerURLExist           error = grpcError{CodeFailedPrecondition, "etcdserver: Peer URLs already exists"}
	ErrGRPCMemberNotEnoughStarted error = grpcError{CodeFailedPrecondition, "etcdserver: re-configuration failed due to not enough started members"}
	ErrGRPCMemberBadURLs          error = grpcError{CodeInvalidArgument, "etcdserver: given member URLs are invalid"}
	ErrGRPCMemberNotFound         error = grpcError{CodeNotFound, "etcdserver: member not found"}
	ErrGRPCMemberNotLearner       error = grpcError{CodeFailedPrecondition, "etcdserver: can only promote a learner member"}
	ErrGRPCLearnerNotReady        error = grpcError{CodeFailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader"}
	ErrGRPCTooManyLearners        error = grpcError{CodeFailedPrecondition, "etcdserver: too many learner members in cluster"}
	ErrGRPCClusterIDMismatch      error = grpcError{CodeFailedPrecondition, "etcdserver: cluster ID mismatch"}
	// ErrGRPCClusterIdMismatch is the older name.
	ErrGRPCClusterIdMismatch = ErrGRPCClusterIDMismatch

	ErrGRPCRequestTooLarge        error = grpcError{CodeInvalidArgument, "etcdserver: request is too large"}
	ErrGRPCRequestTooManyRequests error = grpcError{CodeResourceExhausted, "etcdserver: too many requests"}

	// Users and roles: never returned.
	ErrGRPCRootUserNotExist     error = grpcError{CodeFailedPrecondition, "etcdserver: root user does not exist"}
	ErrGRPCRootRoleNotExist     error = grpcError{CodeFailedPrecondition, "etcdserver: root user does not have root role"}
	ErrGRPCUserAlreadyExist     error = grpcError{CodeFailedPrecondition, "etcdserver: user name already exists"}
	ErrGRPCUserEmpty            error = grpcError{CodeInvalidArgument, "etcdserver: user name is empty"}
	ErrGRPCUserNotFound         error = grpcError{CodeFailedPrecondition, "etcdserver: user name not found"}
	ErrGRPCRoleAlreadyExist     error = grpcError{CodeFailedPrecondition, "etcdserver: role name already exists"}
	ErrGRPCRoleNotFound         error = grpcError{CodeFailedPrecondition, "etcdserver: role name not found"}
	ErrGRPCRoleEmpty            error = grpcError{CodeInvalidArgument, "etcdserver: role name is empty"}
	ErrGRPCAuthFailed           error = grpcError{CodeInvalidArgument, "etcdserver: authentication failed, invalid user ID or password"}
	ErrGRPCPermissionNotGiven   error = grpcError{CodeInvalidArgument, "etcdserver: permission not given"}
	ErrGRPCPermissionDenied     error = grpcError{CodePermissionDenied, "etcdserver: permission denied"}
	ErrGRPCRoleNotGranted       error = grpcError{CodeFailedPrecondition, "etcdserver: role is not granted to the user"}
	ErrGRPCPermissionNotGranted error = grpcError{CodeFailedPrecondition, "etcdserver: permission is not granted to the role"}
	ErrGRPCAuthNotEnabled       error = grpcError{CodeFailedPrecondition, "etcdserver: authentication is not enabled"}
	ErrGRPCInvalidAuthToken     error = grpcError{CodeUnauthenticated, "etcdserver: invalid auth token"}
	ErrGRPCInvalidAuthMgmt      error = grpcError{CodeInvalidArgument, "etcdserver: invalid auth management"}
	ErrGRPCAuthOldRevision      error = grpcError{CodeInvalidArgument, "etcdserver: revision of auth store is old"}

	ErrGRPCNoLeader                   error = grpcError{CodeUnavailable, "etcdserver: no leader"}
	ErrGRPCNotLeader                  error = grpcError{CodeFailedPrecondition, "etcdserver: not leader"}
	ErrGRPCLeaderChanged              error = grpcError{CodeUnavailable, "etcdserver: leader changed"}
	ErrGRPCNotCapable                 error = grpcError{CodeFailedPrecondition, "etcdserver: not capable"}
	ErrGRPCStopped                    error = grpcError{CodeUnavailable, "etcdserver: server stopped"}
	ErrGRPCTimeout                    error = grpcError{CodeUnavailable, "etcdserver: request timed out"}
	ErrGRPCTimeoutDueToLeaderFail     error = grpcError{CodeUnavailable, "etcdserver: request timed out, possibly due to previous leader failure"}
	ErrGRPCTimeoutDueToConnectionLost error = grpcError{CodeUnavailable, "etcdserver: request timed out, possibly due to connection lost"}
	ErrGRPCTimeoutWaitAppliedIndex    error = grpcError{CodeUnavailable, "etcdserver: request timed out, waiting for the applied index took too long"}
	ErrGRPCUnhealthy                  error = grpcError{CodeUnavailable, "etcdserver: unhealthy cluster"}
	ErrGRPCCorrupt                    error = grpcError{CodeDataLoss, "etcdserver: corrupt cluster"}
	ErrGRPCNotSupportedForLearner     error = grpcError{CodeFailedPrecondition, "etcdserver: rpc not supported for learner"}
	ErrGRPCBadLeaderTransferee        error = grpcError{CodeFailedPrecondition, "etcdserver: bad leader transferee"}

	// Downgrades: never returned.
	ErrGRPCWrongDowngradeVersionFormat   error = grpcError{CodeInvalidArgument, "etcdserver: wrong downgrade target version format"}
	ErrGRPCInvalidDowngradeTargetVersion error = grpcError{CodeInvalidArgument, "etcdserver: invalid downgrade target version"}
	ErrGRPCClusterVersionUnavailable     error = grpcError{CodeFailedPrecondition, "etcdserver: cluster version not found during downgrade"}
	ErrGRPCDowngradeInProcess            error = grpcError{CodeFailedPrecondition, "etcdserver: cluster has a downgrade job in progress"}
	ErrGRPCNoInflightDowngrade           error = grpcError{CodeFailedPrecondition, "etcdserver: no inflight downgrade job"}

	ErrGRPCCanceled         error = grpcError{CodeCanceled, "etcdserver: request canceled"}
	ErrGRPCDeadlineExceeded error = grpcError{CodeDeadlineExceeded, "etcdserver: context deadline exceeded"}
)

// Errors as calls return them. Those that etcd's package lacks are marked.
var (
	ErrEmptyKey                error = returned(ErrGRPCEmptyKey)
	ErrKeyNotFound             error = returned(ErrGRPCKeyNotFound)
	ErrValueProvided           error = returned(ErrGRPCValueProvided)
	ErrLeaseProvided           error = returned(ErrGRPCLeaseProvided)
	ErrTooManyOps              error = returned(ErrGRPCTooManyOps)
	ErrDuplicateKey            error = returned(ErrGRPCDuplicateKey)
	ErrInvalidClientAPIVersion error = returned(ErrGRPCInvalidClientAPIVersion) // not in etcd's
	ErrInvalidSortOption       error = returned(ErrGRPCInvalidSortOption)
	ErrCompacted               error = returned(ErrGRPCCompacted)
	ErrFutureRev               error = returned(ErrGRPCFutureRev)
	ErrNoSpace                 error = returned(ErrGRPCNoSpace)

	ErrLeaseNotFound    error = returned(ErrGRPCLeaseNotFound)
	ErrLeaseExist       error = returned(ErrGRPCLeaseExist)
	ErrLeaseTTLTooLarge error = returned(ErrGRPCLeaseTTLTooLarge)

	ErrWatchCanceled error = returned(ErrGRPCWatchCanceled) // not in etcd's

	ErrMemberExist            error = returned(ErrGRPCMemberExist)
	ErrPeerURLExist           error = returned(ErrGRPCPeerURLExist)
	ErrMemberNotEnoughStarted error = returned(ErrGRPCMemberNotEnoughStarted)
	ErrMemberBadURLs          error = returned(ErrGRPCMemberBadURLs)
	ErrMemberNotFound         error = returned(ErrGRPCMemberNotFound)
	ErrMemberNotLearner       error = returned(ErrGRPCMemberNotLearner)
	ErrMemberLearnerNotReady  error = returned(ErrGRPCLearnerNotReady)
	ErrTooManyLearners        error = returned(ErrGRPCTooManyLearners)
	ErrClusterIDMismatch      error = returned(ErrGRPCClusterIDMismatch)
	// ErrClusterIdMismatch is the older name.
	ErrClusterIdMismatch = ErrClusterIDMismatch

	ErrRequestTooLarge error = returned(ErrGRPCRequestTooLarge)
	ErrTooManyRequests error = returned(ErrGRPCRequestTooManyRequests)

	// Users and roles: never returned.
	ErrRootUserNotExist     error = returned(ErrGRPCRootUserNotExist)
	ErrRootRoleNotExist     error = returned(ErrGRPCRootRoleNotExist)
	ErrUserAlreadyExist     error = returned(ErrGRPCUserAlreadyExist)
	ErrUserEmpty            error = returned(ErrGRPCUserEmpty)
	ErrUserNotFound         error = returned(ErrGRPCUserNotFound)
	ErrRoleAlreadyExist     error = returned(ErrGRPCRoleAlreadyExist)
	ErrRoleNotFound         error = returned(ErrGRPCRoleNotFound)
	ErrRoleEmpty            error = returned(ErrGRPCRoleEmpty)
	ErrAuthFailed           error = returned(ErrGRPCAuthFailed)
	ErrPermissionNotGiven   error = returned(ErrGRPCPermissionNotGiven) // not in etcd's
	ErrPermissionDenied     error = returned(ErrGRPCPermissionDenied)
	ErrRoleNotGranted       error = returned(ErrGRPCRoleNotGranted)
	ErrPermissionNotGranted error = returned(ErrGRPCPermissionNotGranted)
	ErrAuthNotEnabled       error = returned(ErrGRPCAuthNotEnabled)
	ErrInvalidAuthToken     error = returned(ErrGRPCInvalidAuthToken)
	ErrInvalidAuthMgmt      error = returned(ErrGRPCInvalidAuthMgmt)
	ErrAuthOldRevision      error = returned(ErrGRPCAuthOldRevision)

	ErrNoLeader                   error = returned(ErrGRPCNoLeader)
	ErrNotLeader                  error = returned(ErrGRPCNotLeader)
	ErrLeaderChanged              error = returned(ErrGRPCLeaderChanged)
	ErrNotCapable                 error = returned(ErrGRPCNotCapable)
	ErrStopped                    error = returned(ErrGRPCStopped)
	ErrTimeout                    error = returned(ErrGRPCTimeout)
	ErrTimeoutDueToLeaderFail     error = returned(ErrGRPCTimeoutDueToLeaderFail)
	ErrTimeoutDueToConnectionLost error = returned(ErrGRPCTimeoutDueToConnectionLost)
	ErrTimeoutWaitAppliedIndex    error = returned(ErrGRPCTimeoutWaitAppliedIndex)
	ErrUnhealthy                  error = returned(ErrGRPCUnhealthy)
	ErrCorrupt                    error = returned(ErrGRPCCorrupt)
	ErrNotSupportedForLearner     error = returned(ErrGRPCNotSupportedForLearner) // not in etcd's
	ErrBadLeaderTransferee        error = returned(ErrGRPCBadLeaderTransferee)

	// Downgrades: never returned.
	ErrWrongDowngradeVersionFormat   error = returned(ErrGRPCWrongDowngradeVersionFormat)
	ErrInvalidDowngradeTargetVersion error = returned(ErrGRPCInvalidDowngradeTargetVersion)
	ErrClusterVersionUnavailable     error = returned(ErrGRPCClusterVersionUnavailable)
	ErrDowngradeInProcess            error = returned(ErrGRPCDowngradeInProcess)
	ErrNoInflightDowngrade           error = returned(ErrGRPCNoInflightDowngrade)

	ErrCanceled         error = returned(ErrGRPCCanceled)         // not in etcd's
	ErrDeadlineExceeded error = returned(ErrGRPCDeadlineExceeded) // not in etcd's
)

// returned is the error of a call for the one that a server sends.
func returned(sent error) EtcdError {
	return EtcdError(sent.(grpcError))
}

// byText finds the error of a call by its text.
var byText = func() map[string]error {
	table := make(map[string]error)
	for _, err := range []error{
		ErrEmptyKey, ErrKeyNotFound, ErrValueProvided, ErrLeaseProvided, ErrTooManyOps, ErrDuplicateKey,
		ErrInvalidClientAPIVersion, ErrInvalidSortOption, ErrCompacted, ErrFutureRev, ErrNoSpace, ErrLeaseNotFound,
		ErrLeaseExist, ErrLeaseTTLTooLarge, ErrWatchCanceled, ErrMemberExist, ErrPeerURLExist, ErrMemberNotEnoughStarted,
		ErrMemberBadURLs, ErrMemberNotFound, ErrMemberNotLearner, ErrMemberLearnerNotReady, ErrTooManyLearners,
		ErrClusterIDMismatch, ErrRequestTooLarge, ErrTooManyRequests, ErrRootUserNotExist, ErrRootRoleNotExist,
		ErrUserAlreadyExist, ErrUserEmpty, ErrUserNotFound, ErrRoleAlreadyExist, ErrRoleNotFound, ErrRoleEmpty,
		ErrAuthFailed, ErrPermissionNotGiven, ErrPermissionDenied, ErrRoleNotGranted, ErrPermissionNotGranted,
		ErrAuthNotEnabled, ErrInvalidAuthToken, ErrInvalidAuthMgmt, ErrAuthOldRevision, ErrNoLeader, ErrNotLeader,
		ErrLeaderChanged, ErrNotCapable, ErrStopped, ErrTimeout, ErrTimeoutDueToLeaderFail, ErrTimeoutDueToConnectionLost,
		ErrTimeoutWaitAppliedIndex, ErrUnhealthy, ErrCorrupt, ErrNotSupportedForLearner, ErrBadLeaderTransferee,
		ErrWrongDowngradeVersionFormat, ErrInvalidDowngradeTargetVersion, ErrClusterVersionUnavailable,
		ErrDowngradeInProcess, ErrNoInflightDowngrade, ErrCanceled, ErrDeadlineExceeded,
	} {
		table[err.Error()] = err
	}
	return table
}()
