package rpctypes

import "errors"

// Errors that etcd does not have.
var (
	// ErrInvalidArgument is a request that is malformed in a way that has no name of its own. Nothing was done.
	ErrInvalidArgument error = EtcdError{CodeInvalidArgument, "etclite: invalid argument"}
	// ErrSessionExpired says that a session has ended, or that the lock behind a fence is lost. Nothing was done, and the
	// fence never holds again.
	ErrSessionExpired error = EtcdError{CodeUnknown, "etclite: session is expired"}
	// ErrElectionNotLeader says that the lead was lost or resigned. Nothing was done.
	ErrElectionNotLeader error = EtcdError{CodeUnknown, "etclite: not leader of the election"}
	// ErrLockReleased says that the lock was released before. Nothing was done.
	ErrLockReleased error = EtcdError{CodeUnknown, "etclite: lock has already been released"}
	// ErrCursorNotFound says that there is no cursor of that name. Nothing was done.
	ErrCursorNotFound error = EtcdError{CodeNotFound, "etclite: requested cursor not found"}
	// ErrCursorMoved says that the cursor stands elsewhere; the detail is where. Nothing was done.
	ErrCursorMoved error = EtcdError{CodeFailedPrecondition, "etclite: the cursor has moved"}
	// ErrLocked says that somebody else has the store open; the detail is his process id, 0 if not known.
	ErrLocked error = EtcdError{CodeUnavailable, "etclite: the store is open elsewhere"}
	// ErrIO says that the operating system failed an operation. Nothing was written: a write that failed on its way to the disk is
	// ErrIndeterminate.
	ErrIO error = EtcdError{CodeUnavailable, "etclite: input/output error"}
	// ErrNotADatabase says that the path holds something else, which was left as it is.
	ErrNotADatabase error = EtcdError{CodeFailedPrecondition, "etclite: not an etclite store"}
	// ErrFormatTooNew says that a newer release wrote the store. Nothing was changed.
	ErrFormatTooNew error = EtcdError{CodeFailedPrecondition, "etclite: the store was written by a newer release"}
	// ErrReadOnly says that the store was opened for reading. Nothing was done.
	ErrReadOnly error = EtcdError{CodeFailedPrecondition, "etclite: the store was opened read-only"}
	// ErrPoisoned says that an earlier write failed: nothing more is written until the store is reopened, nor was this.
	ErrPoisoned error = EtcdError{CodeUnavailable, "etclite: an earlier write failed, reopen the store"}
	// ErrNotReclaimed says that a compaction took effect, but could not give its space back yet.
	ErrNotReclaimed error = EtcdError{CodeInternal, "etclite: the space of a compaction could not be given back"}
	// ErrClosed says that the client, or its store, was closed. Nothing was done.
	ErrClosed error = EtcdError{CodeUnavailable, "etclite: the store is closed"}
	// ErrIndeterminate says that a write may or may not take effect: read before retrying.
	ErrIndeterminate error = EtcdError{CodeUnavailable, "etclite: the write may or may not take effect, read before retrying"}
	// ErrForked says that the store was opened by the process before a fork. Nothing was done.
	ErrForked error = EtcdError{CodeFailedPrecondition, "etclite: the store was opened by another process, before a fork"}
	// ErrUnsupported says that this release, or this build of the library, does not do that. Nothing was done.
	ErrUnsupported error = EtcdError{CodeFailedPrecondition, "etclite: not supported"}
	// ErrMisuse says that the library was called as it may not be. Nothing was done.
	ErrMisuse error = EtcdError{CodeInternal, "etclite: misuse of the library"}
	// ErrFull says that a bound was reached that is not the space for data: watches, open files. Nothing was done.
	ErrFull error = EtcdError{CodeResourceExhausted, "etclite: a maximum is reached"}
	// ErrPanic says that the library met a bug of its own; the store is poisoned, the write's effect unknown.
	ErrPanic error = EtcdError{CodeInternal, "etclite: internal error of the library"}
	// ErrUnknown stands for a status that this module does not know: the library is newer than it.
	ErrUnknown error = EtcdError{CodeUnknown, "etclite: unknown error of the library"}
)

// Numbers of the library's answers that are no errors, and of errors that callers within this module ask for.
const (
	StatusOK          = 0
	StatusNotFound    = 1
	StatusTimeout     = 2
	StatusEnd         = 3
	StatusNotAcquired = 4

	StatusCompacted = -20
)

// A Status is one row of the table of the library's errors.
type Status struct {
	// Number is what the functions of the C library return. Numbers are never reused.
	Number int32
	// Name is that of the macro in the library's header, without ETCLITE_E_.
	Name string
	// Err is what calls return; if Detailed, within a *StatusError with the library's own text.
	Err error
	// Detailed says that the library's text and detail tell more than Err does.
	Detailed bool
	// Code and Etcd are what a server of etcd sends for it: gRPC's class, and the message by which clients know the error.
	// The message is empty where etcd has no such outcome.
	Code Code
	Etcd string
}

// Statuses is the table of all errors of the library.
func Statuses() []Status { return append([]Status(nil), statuses...) }

var statuses = []Status{
	{-1, "INVALID_ARGUMENT", ErrInvalidArgument, true, CodeInvalidArgument, ""},
	{-2, "EMPTY_KEY", ErrEmptyKey, false, CodeInvalidArgument, "etcdserver: key is not provided"},
	{-3, "TOO_MANY_OPS", ErrTooManyOps, false, CodeInvalidArgument, "etcdserver: too many operations in txn request"},
	{-4, "DUPLICATE_KEY", ErrDuplicateKey, false, CodeInvalidArgument, "etcdserver: duplicate key given in txn request"},
	{-5, "REQUEST_TOO_LARGE", ErrRequestTooLarge, false, CodeInvalidArgument, "etcdserver: request is too large"},
	{-6, "INVALID_SORT", ErrInvalidSortOption, false, CodeInvalidArgument, "etcdserver: invalid sort option"},
	{-7, "VALUE_PROVIDED", ErrValueProvided, false, CodeInvalidArgument, "etcdserver: value is provided"},
	{-8, "LEASE_PROVIDED", ErrLeaseProvided, false, CodeInvalidArgument, "etcdserver: lease is provided"},
	{-9, "KEY_NOT_FOUND", ErrKeyNotFound, false, CodeInvalidArgument, "etcdserver: key not found"},
	{StatusCompacted, "COMPACTED", ErrCompacted, false, CodeOutOfRange, "etcdserver: mvcc: required revision has been compacted"},
	{-21, "FUTURE_REVISION", ErrFutureRev, false, CodeOutOfRange, "etcdserver: mvcc: required revision is a future revision"},
	{-22, "NO_SPACE", ErrNoSpace, false, CodeResourceExhausted, "etcdserver: mvcc: database space exceeded"},
	{-23, "LEASE_NOT_FOUND", ErrLeaseNotFound, false, CodeNotFound, "etcdserver: requested lease not found"},
	{-24, "LEASE_EXISTS", ErrLeaseExist, false, CodeFailedPrecondition, "etcdserver: lease already exists"},
	{-25, "LEASE_TTL_TOO_LARGE", ErrLeaseTTLTooLarge, false, CodeOutOfRange, "etcdserver: too large lease TTL"},
	{-26, "WATCH_CANCELED", ErrWatchCanceled, false, CodeCanceled, "etcdserver: watch canceled"},
	{-27, "SESSION_EXPIRED", ErrSessionExpired, false, CodeUnknown, "mutex: session is expired"},
	{-28, "NOT_LEADER_OF_ELECTION", ErrElectionNotLeader, false, CodeUnknown, "election: not leader"},
	{-29, "LOCK_RELEASED", ErrLockReleased, false, CodeUnknown, "mutex: lock has already been released"},
	{-31, "CURSOR_NOT_FOUND", ErrCursorNotFound, false, CodeNotFound, ""},
	{-32, "CURSOR_MOVED", ErrCursorMoved, true, CodeFailedPrecondition, ""},
	{-40, "NO_LEADER", ErrNoLeader, false, CodeUnavailable, "etcdserver: no leader"},
	{-41, "NOT_LEADER", ErrNotLeader, false, CodeFailedPrecondition, "etcdserver: not leader"},
	{-42, "LEADER_CHANGED", ErrLeaderChanged, false, CodeUnavailable, "etcdserver: leader changed"},
	{-43, "UNAVAILABLE", ErrUnhealthy, false, CodeUnavailable, "etcdserver: unhealthy cluster"},
	{-60, "LOCKED", ErrLocked, true, CodeUnavailable, ""},
	{-61, "IO", ErrIO, true, CodeUnavailable, "etcdserver: server stopped"},
	{-62, "CORRUPT", ErrCorrupt, true, CodeDataLoss, "etcdserver: corrupt cluster"},
	{-63, "NOT_A_DATABASE", ErrNotADatabase, true, CodeFailedPrecondition, ""},
	{-64, "FORMAT_TOO_NEW", ErrFormatTooNew, true, CodeFailedPrecondition, ""},
	{-65, "READ_ONLY", ErrReadOnly, false, CodeFailedPrecondition, "etcdserver: not capable"},
	{-66, "POISONED", ErrPoisoned, false, CodeUnavailable, "etcdserver: server stopped"},
	{-67, "NOT_RECLAIMED", ErrNotReclaimed, true, CodeInternal, ""},
	{-80, "CLOSED", ErrClosed, false, CodeUnavailable, "etcdserver: server stopped"},
	{-81, "CANCELED", ErrCanceled, false, CodeCanceled, "etcdserver: request canceled"},
	{-82, "DEADLINE_EXCEEDED", ErrDeadlineExceeded, false, CodeUnavailable, "etcdserver: request timed out"},
	{-83, "INDETERMINATE", ErrIndeterminate, false, CodeUnavailable, "etcdserver: request timed out"},
	{-84, "FORKED", ErrForked, false, CodeFailedPrecondition, ""},
	{-85, "UNSUPPORTED", ErrUnsupported, true, CodeFailedPrecondition, "etcdserver: not capable"},
	{-86, "MISUSE", ErrMisuse, true, CodeInternal, ""},
	{-87, "FULL", ErrFull, true, CodeResourceExhausted, "etcdserver: too many requests"},
	{-99, "PANIC", ErrPanic, true, CodeInternal, ""},
}

// StatusOf is the row of an error, or of one that it wraps. It reports false for errors that the library does not have.
func StatusOf(err error) (Status, bool) {
	var named EtcdError
	if !errors.As(err, &named) {
		return Status{}, false
	}
	status, ok := byError[named]
	return status, ok
}

var byError = func() map[error]Status {
	table := make(map[error]Status, len(statuses))
	for _, status := range statuses {
		table[status.Err] = status
	}
	return table
}()

var byNumber = func() map[int32]Status {
	table := make(map[int32]Status, len(statuses))
	for _, status := range statuses {
		table[status.Number] = status
	}
	return table
}()

// A StatusError is an error of the library that tells more than its name. errors.Is(err, ErrIO) and the like see through it.
type StatusError struct {
	// Number is the library's number of the error.
	Number int32
	// Detail depends on the error: a process id, an offset, a position; 0 if there is none.
	Detail int64
	// Text is the library's own.
	Text string

	name error
}

// Error is the library's text.
func (e *StatusError) Error() string {
	if e.Text == "" {
		return e.name.Error()
	}
	return "etclite: " + e.Text
}

// Code is gRPC's class of the error.
func (e *StatusError) Code() Code { return e.name.(EtcdError).code }

// Unwrap is the variable of this package that names the error.
func (e *StatusError) Unwrap() error { return e.name }

// FromStatus is the error for an answer of the library, nil for those that are no errors (0 and above).
func FromStatus(number int32, detail int64, text string) error {
	if number >= 0 {
		return nil
	}
	status, ok := byNumber[number]
	if !ok {
		status = Status{Err: ErrUnknown, Detailed: true}
	}
	if !status.Detailed {
		return status.Err
	}
	return &StatusError{Number: number, Detail: detail, Text: text, name: status.Err}
}
