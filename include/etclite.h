/*
 * etclite: etcd's model as a library in your process. Revisions, ranges, transactions, watches, leases, locks and
 * elections, in a directory on disk, safe through any crash; no port, no daemon.
 *
 * This file is generated; the same file serves C99 and later, and C++98 and later. What follows holds for every function
 * and is not said again at each. It is the contract: what stands here does not change within a major version.
 *
 *
 * CALLS
 *
 * Functions are called etclite_<noun>_<verb>, macros and constants ETCLITE_... The handle comes first, then what goes in,
 * then where answers go, and etclite_error *err last.
 *
 * Every function returns int32_t, a status:
 *
 *     0          ETCLITE_OK: done.
 *     above 0    a harmless no, ETCLITE_NOT_FOUND for one. Nothing is written to err.
 *     below 0    ETCLITE_E_..: an error. Each code says whether the write took effect.
 *
 * The exceptions are the functions that return a text or a number and cannot fail: etclite_version,
 * etclite_version_number, etclite_abi_version and etclite_status_text.
 *
 * err may be NULL. It is 256 bytes of the caller's own, so there is nothing to free, and nothing is remembered per thread.
 * It is written only when the status is below 0. Comments at functions name the codes to expect, without ETCLITE_E_; three
 * can come from any function and are not named: INVALID_ARGUMENT, MISUSE and PANIC, and FORKED in a child process.
 *
 * Bytes are passed as const uint8_t * with a size_t length. They are never NUL-terminated, and may hold any byte. NULL is
 * allowed with length 0 only; a length above PTRDIFF_MAX is refused with INVALID_ARGUMENT. Paths are bytes without NUL.
 *
 * Outputs: a handle or pointer output is set to NULL when the call begins, and an etclite_buf output to all zeros; whatever
 * one held before is not freed. All other outputs are written only on success, which is any status that is not below 0
 * unless the function says less. NULL where there must be a pointer is MISUSE, except where a comment says "may be null".
 * Freeing or closing NULL does nothing, and is OK.
 *
 * No two outputs of a call may overlap, err among them, and no output may overlap what goes in: the request of etclite_call
 * and its out are two pieces of memory. That cannot be found out, and is undefined.
 *
 * Nothing is passed by value but integers and pointers: no structs, enums, bit fields, variable arguments or bool. An
 * unknown constant or flag bit is INVALID_ARGUMENT, and so is a reserved field that is not 0.
 *
 * Option structs begin with size_t struct_size, which the caller sets to sizeof. Zero in all other fields means their
 * defaults, so the usual way is:
 *
 *     etclite_put_options options = {0};      (C++: = {})
 *     options.struct_size = sizeof options;
 *     options.lease = id;
 *
 * A NULL for options means all defaults. Releases append fields at the end and never take any away. A struct_size below
 * what the struct ever had is INVALID_ARGUMENT. One above what the library knows is accepted if all bytes that it does not
 * know are 0, else UNSUPPORTED: your program asks a library that is older than its header for something. Structs with
 * struct_size that are filled in by the library are filled as far as both know them, and with zeros beyond.
 *
 * Times are int64_t and in milliseconds. As a limit to waiting, -1 is for ever and 0 is not to block.
 *
 * Everything is always exported. What a build of the library leaves out returns UNSUPPORTED.
 *
 *
 * HANDLES
 *
 * Handles have one type for each kind of object, for your compiler's sake, but what is in them is no address: it is a
 * token, which nobody may dereference (on x86-64 the processor faults at once). Every call checks its token, so closing
 * twice, using after closing or freeing, and passing a handle of another type are always MISUSE, with no memory touched.
 * A value that never was a handle is MISUSE unless it equals a live one. NULL is MISUSE except to functions that free.
 *
 * At most 1,048,576 handles are live at once; then what makes one returns FULL.
 *
 * Frees return int32_t too: MISUSE for a stale handle, which may be ignored. etclite_buf carries a token, so freeing it a
 * second time is harmless as well.
 *
 *
 * OWNERSHIP
 *
 * What goes in is copied before the call returns: the caller may free or change it afterwards.
 *
 * What comes out in a result stands in one piece of memory that belongs to the result. The views handed out (etclite_kv,
 * etclite_event) hold real pointers into it: any thread may read them, until that result is freed. To use a view after that
 * is the one misuse that we cannot detect; sanitizers and valgrind can. A result never changes, and outlives its store.
 *
 * What functions write into the caller's own structs belongs to the caller. Texts that functions return are static.
 *
 *
 * CLOSING
 *
 * etclite_close ends the handle at once, wakes all who wait in other calls with CLOSED, writes what is in memory, releases
 * the lock of the store's directory and returns the first error in that, if any. It does so even if scans, watches, sessions
 * or other handles that came from the store are still live: those answer CLOSED to whatever needs the store, and must still
 * be freed, in any order. Results are of no store, and go on.
 *
 * It waits until no other call with the etclite_db itself is inside. It does not wait for calls with the handles that came
 * from it: one that is inside at that moment answers CLOSED, maybe a moment after etclite_close has returned, or was done
 * before. Nothing of them writes to the store's files after etclite_close has returned, so the store can be opened again.
 *
 *
 * THREADS
 *
 * Where a parameter is const T *, any number of threads may be inside with the same handle. Where it is T *, one at a time;
 * a second one gets MISUSE, not a data race. Functions called .._cancel, .._wake and those that free may be called by any
 * thread at any time, also while others are inside: the object is destroyed when the last of them leaves. A free ends a wait
 * on the same handle.
 *
 * Nothing may be called from a signal handler.
 *
 * There is one callback, the log sink, which runs outside of all locks; a call of the library from inside it is MISUSE.
 * All else is pulled: no thread of ours runs code of yours.
 *
 *
 * FORK
 *
 * After fork(), every call in the child on a handle from before returns FORKED, close and free included, and touches neither
 * locks nor files. The child may open stores of its own, another one or (once the parent has closed it) the same. The parent
 * notices nothing. All descriptors are close-on-exec, so exec() leaves nothing behind.
 *
 *
 * SIGNALS
 *
 * No signal handler is installed, and neither signal mask nor umask is changed. Threads of ours block all signals but those
 * that a thread raises by itself, so the host's handlers run in the host's threads. Two signals of the latter kind deserve a
 * thought, and keep the disposition that the host gave them: SIGBUS, which the kernel sends when a file that we have mapped
 * is truncated by somebody else, and SIGXFSZ, which it sends when a file would grow above the limit set by ulimit -f.
 *
 *
 * PANICS
 *
 * A bug in the library does not unwind into the caller: each call catches it and returns PANIC with a message in err, and
 * nothing goes to stderr. The store that the call was on takes no more writes until it is reopened; reads go on. Running out
 * of memory aborts the process; the limits on requests bound what one call can ask for.
 *
 * The shared library stays loaded after dlclose.
 *
 *
 * STATUS CODES
 *
 * Statuses are never renumbered, and new ones may come: treat an unknown status above 0 as a no, below 0 as an error.
 * etclite_status_text gives the text for any of them. By group, with what to do:
 *
 *     -1 .. -9      the request is wrong: correct the call. Nothing was written.
 *     -20 .. -22    the revision is gone or not there yet; or there is no room. Nothing was written.
 *     -23 .. -26    leases and watches: it is gone, or exists already. Nothing was written.
 *     -27 .. -32    locks, elections, cursors: it was lost, released, or moved by somebody. Nothing was written.
 *     -40 .. -43    a group of stores: go to the leader, or wait. Nothing was written, but after LEADER_CHANGED that is unknown.
 *     -60 .. -67    the store's files: wait for LOCKED; else look after the disk, reopen, restore. Nothing was written, but for
 *                   NOT_RECLAIMED, which says that a compaction took effect.
 *     -80 .. -87    at run time: closed, cancelled, given up, forked, not supported, misused, full. Nothing was written,
 *                   but for INDETERMINATE.
 *     INDETERMINATE and PANIC: the write may or may not take effect. Read before you retry.
 */

#ifndef ETCLITE_H
#define ETCLITE_H

#include <stddef.h>
#include <stdint.h>

/** Put before each declaration; a compiler that wants something there gets it by defining this first. */
#ifndef ETCLITE_API
#define ETCLITE_API
#endif

/** The version of this header. That of the library is what `etclite_version` returns. */
#define ETCLITE_VERSION "0.1.0"

/**
 * How many requests a batch may have.
 */
#define ETCLITE_BATCH_REQUESTS_MAX 1024

/**
 * How many bytes a batch may have, with all that is between its requests: 1 MiB.
 */
#define ETCLITE_BATCH_BYTES_MAX 1048576

/**
 * Done.
 */
#define ETCLITE_OK 0

/**
 * There is no such key, or no leader. Not an error.
 */
#define ETCLITE_NOT_FOUND 1

/**
 * The time was over before anything came. Not an error.
 */
#define ETCLITE_TIMEOUT 2

/**
 * The scan has come to its end, or the watch of a store that was opened read-only. Not an error.
 */
#define ETCLITE_END 3

/**
 * Somebody else has the lock. Not an error.
 */
#define ETCLITE_NOT_ACQUIRED 4

/**
 * The request is malformed in a way that has no code of its own. Nothing was done.
 */
#define ETCLITE_E_INVALID_ARGUMENT -1

/**
 * The key is empty. Nothing was done.
 */
#define ETCLITE_E_EMPTY_KEY -2

/**
 * The txn has too many operations, or is nested too deep. Nothing was done.
 */
#define ETCLITE_E_TOO_MANY_OPS -3

/**
 * The txn changes one key twice. Nothing was done.
 */
#define ETCLITE_E_DUPLICATE_KEY -4

/**
 * The request is larger than its limit, which is in `detail`. Nothing was done.
 */
#define ETCLITE_E_REQUEST_TOO_LARGE -5

/**
 * There is no such order to sort in. Nothing was done.
 */
#define ETCLITE_E_INVALID_SORT -6

/**
 * `IGNORE_VALUE` together with a value. Nothing was done.
 */
#define ETCLITE_E_VALUE_PROVIDED -7

/**
 * `IGNORE_LEASE` together with a lease. Nothing was done.
 */
#define ETCLITE_E_LEASE_PROVIDED -8

/**
 * `IGNORE_VALUE` or `IGNORE_LEASE` of a key that is not there. Nothing was done.
 */
#define ETCLITE_E_KEY_NOT_FOUND -9

/**
 * The revision is compacted; `detail` is the oldest that can be read. Nothing was done.
 */
#define ETCLITE_E_COMPACTED -20

/**
 * The revision has not been reached yet; `detail` is the store's. Nothing was done.
 */
#define ETCLITE_E_FUTURE_REVISION -21

/**
 * The disk or the quota has no room. Nothing was done; once there is room, the call works again.
 */
#define ETCLITE_E_NO_SPACE -22

/**
 * There is no such lease (any more). Nothing was done.
 */
#define ETCLITE_E_LEASE_NOT_FOUND -23

/**
 * There is a lease of that id. Nothing was done.
 */
#define ETCLITE_E_LEASE_EXISTS -24

/**
 * A lease cannot last that long. Nothing was done.
 */
#define ETCLITE_E_LEASE_TTL_TOO_LARGE -25

/**
 * The watch was cancelled.
 */
#define ETCLITE_E_WATCH_CANCELED -26

/**
 * The session has ended, or a fenced txn's lock is lost. Nothing was done.
 */
#define ETCLITE_E_SESSION_EXPIRED -27

/**
 * The lead was lost or resigned. Nothing was done.
 */
#define ETCLITE_E_NOT_LEADER_OF_ELECTION -28

/**
 * The lock was released already. Nothing was done.
 */
#define ETCLITE_E_LOCK_RELEASED -29

/**
 * There is no cursor of that name. Nothing was done.
 */
#define ETCLITE_E_CURSOR_NOT_FOUND -31

/**
 * The cursor stands elsewhere: `detail` is where. Nothing was done.
 */
#define ETCLITE_E_CURSOR_MOVED -32

/**
 * The group has no leader. Nothing was done.
 */
#define ETCLITE_E_NO_LEADER -40

/**
 * Another member leads; `detail` is its id. Nothing was done.
 */
#define ETCLITE_E_NOT_LEADER -41

/**
 * The lead changed meanwhile. The write may or may not take effect.
 */
#define ETCLITE_E_LEADER_CHANGED -42

/**
 * The group cannot be reached. Nothing was done.
 */
#define ETCLITE_E_UNAVAILABLE -43

/**
 * The store is open elsewhere; `detail` is the process, 0 if unknown. Nothing was done.
 */
#define ETCLITE_E_LOCKED -60

/**
 * The operating system failed an operation: `os_error` says how. Nothing was written; a write that failed on its way
 * to the disk is `ETCLITE_E_INDETERMINATE`.
 */
#define ETCLITE_E_IO -61

/**
 * A file of the store is damaged; `detail` is where in it, the message names it. Nothing was written.
 */
#define ETCLITE_E_CORRUPT -62

/**
 * The path holds something that is not a store. It was left as it is.
 */
#define ETCLITE_E_NOT_A_DATABASE -63

/**
 * A newer release wrote the store, in the format `detail`. It was left as it is.
 */
#define ETCLITE_E_FORMAT_TOO_NEW -64

/**
 * The store was opened read-only. Nothing was done.
 */
#define ETCLITE_E_READ_ONLY -65

/**
 * An earlier write failed. Nothing is written until the store is reopened; reads go on.
 */
#define ETCLITE_E_POISONED -66

/**
 * The compaction took effect, but its space could not be given back. That is tried again by itself.
 */
#define ETCLITE_E_NOT_RECLAIMED -67

/**
 * The store was closed. Nothing was done.
 */
#define ETCLITE_E_CLOSED -80

/**
 * The wait was ended from outside.
 */
#define ETCLITE_E_CANCELED -81

/**
 * Given up before the write was ordered. Nothing was done.
 */
#define ETCLITE_E_DEADLINE_EXCEEDED -82

/**
 * The write may or may not take effect: read before retrying.
 */
#define ETCLITE_E_INDETERMINATE -83

/**
 * The handle was inherited through a fork. Nothing was done.
 */
#define ETCLITE_E_FORKED -84

/**
 * This build, or this release, does not do that. Nothing was done.
 */
#define ETCLITE_E_UNSUPPORTED -85

/**
 * A null, stale or wrong handle, or one that another thread is using. Nothing was done.
 */
#define ETCLITE_E_MISUSE -86

/**
 * Some other maximum is reached, which is in `detail`. Nothing was done.
 */
#define ETCLITE_E_FULL -87

/**
 * A bug in the library, which was kept from doing more harm. The store takes no more writes until it is reopened, and
 * this one may or may not take effect.
 */
#define ETCLITE_E_PANIC -99

/**
 * The store must exist.
 */
#define ETCLITE_OPEN_NO_CREATE 1

/**
 * Nothing is written, and other readers may have the store open too.
 */
#define ETCLITE_OPEN_READ_ONLY 2

/**
 * A new store that lives in memory only; the path must be empty.
 */
#define ETCLITE_OPEN_IN_MEMORY 4

/**
 * What is acknowledged is on the disk.
 */
#define ETCLITE_DURABILITY_SYNCED 0

/**
 * What is acknowledged is with the operating system: it survives the process, and reaches the disk within 50 ms.
 */
#define ETCLITE_DURABILITY_WRITTEN 1

/**
 * What is acknowledged is in memory, and reaches the disk within 50 ms.
 */
#define ETCLITE_DURABILITY_BUFFERED 2

/**
 * The range is all keys that begin with the key; no end may be given. The empty prefix is every key.
 */
#define ETCLITE_RANGE_PREFIX 1

/**
 * The range is all keys at or above the key; no end may be given.
 */
#define ETCLITE_RANGE_FROM_KEY 2

/**
 * Values are left out.
 */
#define ETCLITE_RANGE_KEYS_ONLY 4

/**
 * Keys are left out: only the count is told.
 */
#define ETCLITE_RANGE_COUNT_ONLY 8

/**
 * A read of this member alone, as etcd's `serializable`. Of no effect on a store by itself.
 */
#define ETCLITE_RANGE_SERIALIZABLE 16

/**
 * Of a delete: the deleted keys are wanted.
 */
#define ETCLITE_DELETE_PREV_KV 32

/**
 * The key as it was before is wanted.
 */
#define ETCLITE_PUT_PREV_KV 1

/**
 * The key keeps its value; the value given must be empty.
 */
#define ETCLITE_PUT_IGNORE_VALUE 2

/**
 * The key keeps its lease; the lease given must be 0.
 */
#define ETCLITE_PUT_IGNORE_LEASE 4

/**
 * Return once the space of what was dropped is given back.
 */
#define ETCLITE_COMPACT_PHYSICAL 1

/**
 * By key.
 */
#define ETCLITE_SORT_KEY 0

/**
 * By version.
 */
#define ETCLITE_SORT_VERSION 1

/**
 * By create revision.
 */
#define ETCLITE_SORT_CREATE 2

/**
 * By mod revision.
 */
#define ETCLITE_SORT_MOD 3

/**
 * By value.
 */
#define ETCLITE_SORT_VALUE 4

/**
 * None is asked for: ascending by `sort_by`, as etcd's `NONE`; so by key, if nothing is said.
 */
#define ETCLITE_ORDER_NONE 0

/**
 * The smallest first.
 */
#define ETCLITE_ORDER_ASCEND 1

/**
 * The largest first.
 */
#define ETCLITE_ORDER_DESCEND 2

/**
 * The major version of this header.
 */
#define ETCLITE_VERSION_MAJOR 0

/**
 * The minor version of this header.
 */
#define ETCLITE_VERSION_MINOR 1

/**
 * The patch version of this header.
 */
#define ETCLITE_VERSION_PATCH 0

/**
 * The version of this header as a number: major * 1000000 + minor * 1000 + patch.
 */
#define ETCLITE_VERSION_NUMBER 1000

/**
 * The binary interface of this header: the number in the shared library's name. It changes when a program must be
 * compiled again.
 */
#define ETCLITE_ABI_VERSION 0

/**
 * Nothing is logged.
 */
#define ETCLITE_LOG_OFF 0

/**
 * What ends something: a store that takes no more writes, a close that failed.
 */
#define ETCLITE_LOG_ERROR 1

/**
 * And what is tried again: background work that failed.
 */
#define ETCLITE_LOG_WARN 2

/**
 * And what is worth knowing: what recovery has found.
 */
#define ETCLITE_LOG_INFO 3

/**
 * A JSON object.
 */
#define ETCLITE_STATS_JSON 0

/**
 * Prometheus' text format, with etcd's names where meanings agree.
 */
#define ETCLITE_STATS_PROMETHEUS 1

/**
 * The copy is compacted at its revision, history being left out: who goes on from before is told so.
 */
#define ETCLITE_RESTORE_MARK_COMPACTED 1

/**
 * A file without the SHA-256 that a snapshot ends with is accepted, such as a member's `snap/db`, and one that is there is
 * not compared.
 */
#define ETCLITE_IMPORT_SKIP_HASH_CHECK 1

/**
 * The new store is compacted at its revision, history being left out: who goes on from before is told so.
 */
#define ETCLITE_IMPORT_MARK_COMPACTED 2

/**
 * Every key is also read as of every revision at which it changed. Takes 16 bytes of memory for each change.
 */
#define ETCLITE_CHECK_DEEP 1

/**
 * The member reads and is told everything, but has no vote until it is promoted.
 */
#define ETCLITE_CLUSTER_LEARNER 1

/**
 * Reads of the leader rely on its lease, and so on clocks that run at about the same rate.
 */
#define ETCLITE_CLUSTER_LEASE_READS 2

/**
 * The key's number of puts since its creation; 0 if it does not exist.
 */
#define ETCLITE_TARGET_VERSION 0

/**
 * The revision of the key's creation; 0 if it does not exist.
 */
#define ETCLITE_TARGET_CREATE 1

/**
 * The revision of the key's latest change; 0 if it does not exist.
 */
#define ETCLITE_TARGET_MOD 2

/**
 * The key's value, bytewise. No comparison with the value of a key that does not exist holds.
 */
#define ETCLITE_TARGET_VALUE 3

/**
 * The id of the key's lease; 0 if it has none, or does not exist.
 */
#define ETCLITE_TARGET_LEASE 4

/**
 * What is stored equals what is given.
 */
#define ETCLITE_COMPARE_EQUAL 0

/**
 * What is stored is greater.
 */
#define ETCLITE_COMPARE_GREATER 1

/**
 * What is stored is less.
 */
#define ETCLITE_COMPARE_LESS 2

/**
 * What is stored differs.
 */
#define ETCLITE_COMPARE_NOT_EQUAL 3

/**
 * Each event comes with the key as it was before.
 */
#define ETCLITE_WATCH_PREV_KV 4

/**
 * Puts are left out.
 */
#define ETCLITE_WATCH_NO_PUT 8

/**
 * Deletes are left out.
 */
#define ETCLITE_WATCH_NO_DELETE 16

/**
 * The key was put.
 */
#define ETCLITE_EVENT_PUT 0

/**
 * The key was deleted: by a delete, a txn, or the end of its lease.
 */
#define ETCLITE_EVENT_DELETE 1

/**
 * The put created the key.
 */
#define ETCLITE_EVENT_CREATED 1

/**
 * An open store.
 */
typedef struct etclite_db etclite_db;

/**
 * An election by name, for one session. The candidate that came first leads until it resigns or its session ends, then
 * the next; its value, the proposal, is for all to see. Keys are as those of an `etclite_mutex`.
 *
 * With one session a second candidacy of the name, by this handle or another, is the first one again.
 */
typedef struct etclite_election etclite_election;

/**
 * Events that a watch returned together. They never change, and any number of threads may read them.
 */
typedef struct etclite_events etclite_events;

/**
 * A lock by name, for one session. Whoever came first has it, then the next. The key of a session is the name, `/` and
 * its lease in hexadecimal, as etcd's clients have it, who can take part: so the keys below `name/` belong to the lock.
 *
 * With one session a second lock of the name, by this handle or another, is the first one again, and one unlock frees
 * both.
 */
typedef struct etclite_mutex etclite_mutex;

/**
 * Waits for many watches at once.
 */
typedef struct etclite_poller etclite_poller;

/**
 * Keys that were read, with where they were read. It never changes, and any number of threads may read it.
 */
typedef struct etclite_result etclite_result;

/**
 * A walk over the keys of a range, as of one revision.
 */
typedef struct etclite_scan etclite_scan;

/**
 * A lease that the library keeps alive, and what locks and elections belong to. Locks exclude sessions from one another,
 * not threads: threads that must exclude each other open a session each.
 */
typedef struct etclite_session etclite_session;

/**
 * A txn that is being built.
 */
typedef struct etclite_txn etclite_txn;

/**
 * What a txn answered. It never changes, and any number of threads may read it.
 */
typedef struct etclite_txn_result etclite_txn_result;

/**
 * A watch: a place in the history of a store, from which events are read.
 */
typedef struct etclite_watch etclite_watch;

/**
 * Bytes that belong to the library, until `etclite_buf_free`. All zero if there are none.
 */
typedef struct etclite_buf {
    /**
     * The bytes; any thread may read them. Null if `token` is 0.
     */
    const uint8_t *data;
    /**
     * How many there are.
     */
    size_t len;
    /**
     * What `etclite_buf_free` knows them by; 0 if there is nothing to free.
     */
    uint64_t token;
} etclite_buf;

/**
 * What went wrong. It belongs to the caller: nothing in it need be freed. It is written only when a function returns a
 * number below 0.
 */
typedef struct etclite_error {
    /**
     * The status that the function returned.
     */
    int32_t code;
    /**
     * The operating system's error number (`errno`); 0 if it did not come from there.
     */
    int32_t os_error;
    /**
     * A number that goes with the code, as its description says; else 0.
     */
    int64_t detail;
    /**
     * What happened, for people: UTF-8, ended by a zero byte, cut off at a character if it is too long.
     */
    char message[240];
} etclite_error;

/**
 * How to open a session. Zero is the default of each field.
 */
typedef struct etclite_session_options {
    /**
     * `sizeof(etclite_session_options)`.
     */
    size_t struct_size;
    /**
     * How long what the session holds outlives its process, in milliseconds; 0 is 60 s. Of no meaning with a `lease`.
     */
    int64_t ttl_ms;
    /**
     * A lease that exists and is taken over; 0 grants one.
     */
    int64_t lease;
    /**
     * How long the locks of a session that *expires* stay locked, in milliseconds, up to 60 s: for what its process had
     * under way elsewhere. One that is closed hands over at once. Of no meaning with a `lease`.
     */
    int64_t lock_delay_ms;
} etclite_session_options;

/**
 * How to open a store. Zero is the default of each field.
 */
typedef struct etclite_open_options {
    /**
     * `sizeof(etclite_open_options)`.
     */
    size_t struct_size;
    /**
     * `ETCLITE_OPEN_..`, added up.
     */
    uint32_t flags;
    /**
     * `ETCLITE_DURABILITY_..`.
     */
    uint32_t durability;
    /**
     * How long to wait for a store that is open elsewhere, in milliseconds: 0 not at all, -1 for ever.
     */
    int64_t lock_wait_ms;
    /**
     * The largest request in bytes; 0 is 1.5 MiB.
     */
    int64_t request_bytes_max;
    /**
     * How much live data and retained history a store may hold, in bytes; 0 is no limit.
     */
    int64_t store_bytes_max;
    /**
     * How many bytes of changes are kept in memory before they become a sorted file; 0 is the default.
     */
    int64_t memtable_bytes;
    /**
     * How many operations a txn may have; 0 is the default.
     */
    uint32_t txn_ops_max;
    /**
     * Must be 0.
     */
    uint32_t reserved;
} etclite_open_options;

/**
 * What a store says of itself.
 */
typedef struct etclite_status_info {
    /**
     * `sizeof(etclite_status_info)`, set by the caller.
     */
    size_t struct_size;
    /**
     * The revision that readers see.
     */
    int64_t revision;
    /**
     * The oldest revision that can be read; 0 if nothing was compacted.
     */
    int64_t compact_revision;
    /**
     * Bytes of the store's files: the sorted ones and the log.
     */
    int64_t disk_bytes;
    /**
     * Bytes of live data and retained history, about.
     */
    int64_t live_bytes;
    /**
     * How many keys there are.
     */
    int64_t keys;
    /**
     * How many leases there are.
     */
    int64_t leases;
    /**
     * How many watches are open.
     */
    int64_t watches;
    /**
     * This store's id as a member.
     */
    uint64_t member_id;
    /**
     * The leader's id; this store's own, if it is by itself.
     */
    uint64_t leader_id;
    /**
     * The raft term; 1 for a store by itself.
     */
    uint64_t raft_term;
    /**
     * How far the raft log is applied; 0 for a store by itself.
     */
    uint64_t raft_applied;
} etclite_status_info;

/**
 * What a put does besides writing its value. Zero is the default of each field.
 */
typedef struct etclite_put_options {
    /**
     * `sizeof(etclite_put_options)`.
     */
    size_t struct_size;
    /**
     * The lease to attach the key to; 0 detaches it.
     */
    int64_t lease;
    /**
     * `ETCLITE_PUT_..`, added up.
     */
    uint32_t flags;
    /**
     * Must be 0.
     */
    uint32_t reserved;
} etclite_put_options;

/**
 * How to read a range. Zero is the default of each field.
 */
typedef struct etclite_range_options {
    /**
     * `sizeof(etclite_range_options)`.
     */
    size_t struct_size;
    /**
     * The revision to read at; 0 is the latest.
     */
    int64_t revision;
    /**
     * How many keys to return at most; 0 is no limit.
     */
    int64_t limit;
    /**
     * Only keys whose mod revision is at least this; 0 is off.
     */
    int64_t min_mod;
    /**
     * Only keys whose mod revision is at most this; 0 is off.
     */
    int64_t max_mod;
    /**
     * Only keys whose create revision is at least this; 0 is off.
     */
    int64_t min_create;
    /**
     * Only keys whose create revision is at most this; 0 is off.
     */
    int64_t max_create;
    /**
     * `ETCLITE_SORT_..`.
     */
    uint32_t sort_by;
    /**
     * `ETCLITE_ORDER_..`.
     */
    uint32_t sort_order;
    /**
     * `ETCLITE_RANGE_..`, added up.
     */
    uint32_t flags;
    /**
     * Must be 0.
     */
    uint32_t reserved;
} etclite_range_options;

/**
 * What is known of a lease.
 */
typedef struct etclite_lease_info {
    /**
     * Its id.
     */
    int64_t id;
    /**
     * What is left of its time, in milliseconds; 0 if it is about to end.
     */
    int64_t remaining_ms;
    /**
     * The time that was granted, in milliseconds.
     */
    int64_t granted_ms;
} etclite_lease_info;

/**
 * Receives a line of the log: `message_len` bytes of UTF-8, without an end of line, which are gone when it returns. It
 * may be called from any thread, by several at a time, and must not unwind. Calling the library from inside it is
 * `MISUSE`.
 */
typedef void (*etclite_log_sink)(void *context,
                                 uint32_t level,
                                 const uint8_t *message,
                                 size_t message_len);

/**
 * How a restored store differs from the copy. Zero is the default of each field.
 */
typedef struct etclite_restore_options {
    /**
     * `sizeof(etclite_restore_options)`.
     */
    size_t struct_size;
    /**
     * How much to add to the revision: above what anybody may have seen since the copy was made, so that no revision
     * means two things. More than 0 leaves history out.
     */
    int64_t bump_revision;
    /**
     * `ETCLITE_RESTORE_..`, added up.
     */
    uint32_t flags;
    /**
     * Must be 0.
     */
    uint32_t reserved;
} etclite_restore_options;

/**
 * How an etcd snapshot is imported. Zero is the default of each field.
 */
typedef struct etclite_import_options {
    /**
     * `sizeof(etclite_import_options)`.
     */
    size_t struct_size;
    /**
     * How much to add to the revision: above what clients may have seen since the snapshot was made, so that no revision
     * means two things.
     */
    int64_t bump_revision;
    /**
     * `ETCLITE_IMPORT_..`, added up.
     */
    uint32_t flags;
    /**
     * Must be 0.
     */
    uint32_t reserved;
} etclite_import_options;

/**
 * How to open a store as a member of a group: founded by a list of `peers`, or joined with an invitation, or by itself
 * as the first. Zero is the default of each field; a text of length 0 is none.
 */
typedef struct etclite_cluster_options {
    /**
     * `sizeof(etclite_cluster_options)`.
     */
    size_t struct_size;
    /**
     * The directory of the store.
     */
    const uint8_t *path;
    /**
     * Its length in bytes.
     */
    size_t path_len;
    /**
     * This member's name, unique in the group.
     */
    const uint8_t *name;
    /**
     * Its length in bytes.
     */
    size_t name_len;
    /**
     * The address to listen at, such as "10.0.0.1:2380".
     */
    const uint8_t *listen;
    /**
     * Its length in bytes.
     */
    size_t listen_len;
    /**
     * The address that others are told, if it is another one.
     */
    const uint8_t *advertise;
    /**
     * Its length in bytes.
     */
    size_t advertise_len;
    /**
     * The invitation that `etclite_member_add` gave.
     */
    const uint8_t *invite;
    /**
     * Its length in bytes.
     */
    size_t invite_len;
    /**
     * All founding members, this one included, as "name=address,name=address".
     */
    const uint8_t *peers;
    /**
     * Its length in bytes.
     */
    size_t peers_len;
    /**
     * The secret that founding members share.
     */
    const uint8_t *token;
    /**
     * Its length in bytes.
     */
    size_t token_len;
    /**
     * As for `etclite_open`; null is all defaults.
     */
    const struct etclite_open_options *open;
    /**
     * `ETCLITE_CLUSTER_..`, added up.
     */
    uint32_t flags;
    /**
     * Must be 0.
     */
    uint32_t reserved;
} etclite_cluster_options;

/**
 * Where an answer comes from.
 */
typedef struct etclite_header {
    /**
     * The cluster that the store is a member of: by itself, unless it is one of a group.
     */
    uint64_t cluster_id;
    /**
     * The member that answered.
     */
    uint64_t member_id;
    /**
     * Its raft term; 1 for a store by itself.
     */
    uint64_t raft_term;
    /**
     * The store's revision when the request was applied.
     */
    int64_t revision;
} etclite_header;

/**
 * A key with its value and what is known of it. A view: its pointers are valid until what it was got from is freed.
 */
typedef struct etclite_kv {
    /**
     * The key.
     */
    const uint8_t *key;
    /**
     * Its length in bytes.
     */
    size_t key_len;
    /**
     * The value. Not null, and not to be read, if its length is 0.
     */
    const uint8_t *value;
    /**
     * Its length in bytes.
     */
    size_t value_len;
    /**
     * The revision of the key's latest creation.
     */
    int64_t create_revision;
    /**
     * The revision of the key's latest change.
     */
    int64_t mod_revision;
    /**
     * Counts puts since creation, from 1; 0 only in a delete event.
     */
    int64_t version;
    /**
     * The lease that the key is attached to; 0 if none.
     */
    int64_t lease;
} etclite_kv;

/**
 * How to watch. Zero is the default of each field.
 */
typedef struct etclite_watch_options {
    /**
     * `sizeof(etclite_watch_options)`.
     */
    size_t struct_size;
    /**
     * The first revision to deliver; 0 is the next one. One in the future is waited for.
     */
    int64_t start_revision;
    /**
     * `ETCLITE_RANGE_PREFIX` or `ETCLITE_RANGE_FROM_KEY`, and `ETCLITE_WATCH_..`, added up.
     */
    uint32_t flags;
    /**
     * Must be 0.
     */
    uint32_t reserved;
    /**
     * About how many bytes of events are returned together, at most; 0 is 1 MiB. A revision is never split, however
     * large it is.
     */
    size_t batch_bytes_max;
} etclite_watch_options;

/**
 * One change of one key. A view: its pointers are valid until the events are freed.
 */
typedef struct etclite_event {
    /**
     * `ETCLITE_EVENT_PUT` or `ETCLITE_EVENT_DELETE`.
     */
    uint32_t type;
    /**
     * `ETCLITE_EVENT_CREATED`, or 0.
     */
    uint32_t flags;
    /**
     * The key after the change. In a delete only the key and its `mod_revision` are set.
     */
    struct etclite_kv kv;
    /**
     * The key before the change, if that was asked for: null for a creation, and if the revision before the change is
     * compacted.
     */
    const struct etclite_kv *prev;
} etclite_event;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Frees what a buffer holds, and empties it. Null, and a buffer that is empty, are allowed and do nothing; a copy of a
 * buffer that was freed is `MISUSE`.
 */
ETCLITE_API
int32_t etclite_buf_free(struct etclite_buf *buf);

/**
 * Runs the request `op`, whose bytes are a message as protobuf encodes it, and writes its reply, a message too. Below
 * 1000 these are etcd's messages, of the package `etcdserverpb`; from 1000 on our own, of `etclitepb`. Fields that the
 * library does not know are skipped. Durable on return as the store was opened.
 *
 *       1 Range         4 Txn             11 LeaseRevoke        14 LeaseLeases
 *       2 Put           5 Compaction      12 LeaseKeepAlive     20 Status
 *       3 DeleteRange  10 LeaseGrant      13 LeaseTimeToLive    21 HashKV
 *      22 Hash         23 Alarm           24 Defragment
 *
 * A reply that fits is written to `out`: `*out_len` is its length, and `spill` is empty. Otherwise the whole of it is in
 * `spill`, which must then be freed by `etclite_buf_free`, and `*out_len` is 0. Either way the request runs once.
 *
 * Errors: those of the request, as the typed function for it has them; `INVALID_ARGUMENT` if the bytes are no such
 * message; `UNSUPPORTED` for a number that is not in use, and for 30 to 34, which are a group's. If no handle is left
 * for a reply that does not fit: `INDETERMINATE` if the request has written, `FULL` if it has changed nothing.
 */
ETCLITE_API
int32_t etclite_call(const struct etclite_db *db,
                     uint32_t op,
                     const uint8_t *request,
                     size_t len,
                     uint8_t *out,
                     size_t cap,
                     size_t *out_len,
                     struct etclite_buf *spill,
                     struct etclite_error *err);

/**
 * Runs many requests in order, as `etclite_call` runs one. Each has its own revision and its own status; one that fails
 * does not stop the next; each sees those before it. Writes in a row are made durable by one commit. A request that reads,
 * renews, compacts, has an operation id, or makes, resets or drops a cursor waits for the writes before it.
 *
 * All numbers are little-endian, and each part is followed by as many zero bytes as make it a multiple of 8 long:
 *
 *     in     u32 op       u32 len   the request's bytes    .. for each request
 *     out    i32 status   u32 len   the reply's bytes      .. for each request, in the same order
 *
 * The bytes of a reply with a status below 0 are a text for people, without a zero at its end. Output goes to `out` or
 * `spill` as in `etclite_call`.
 *
 * Errors, of the call as a whole, which has then done nothing: `INVALID_ARGUMENT` if the parts do not add up;
 * `REQUEST_TOO_LARGE` above `ETCLITE_BATCH_REQUESTS_MAX` or `ETCLITE_BATCH_BYTES_MAX` (`detail`: the one passed).
 * If no handle is left for replies that do not fit: `INDETERMINATE` if one of the requests may have written, `FULL` if
 * none has.
 */
ETCLITE_API
int32_t etclite_call_batch(const struct etclite_db *db,
                           const uint8_t *requests,
                           size_t len,
                           uint8_t *out,
                           size_t cap,
                           size_t *out_len,
                           struct etclite_buf *spill,
                           struct etclite_error *err);

/**
 * An election by this name. Nothing is done yet. The handle must be freed by `etclite_election_free`; it holds the
 * session, which must still be closed.
 *
 * Errors: `CLOSED`.
 */
ETCLITE_API
int32_t etclite_election_new(const struct etclite_session *session,
                             const uint8_t *name,
                             size_t name_len,
                             struct etclite_election **election,
                             struct etclite_error *err);

/**
 * Stands for election with a proposal and waits for the lead for at most `timeout_ms`: -1 for ever, 0 not at all.
 * Returns `ETCLITE_TIMEOUT` if it did not come to lead in time: then it stands no more. Who leads already, or stands by
 * another handle of the session, changes the proposal to this one.
 *
 * Errors: `SESSION_EXPIRED` as soon as the session is over, while somebody else may still lead; `CANCELED`; `CLOSED` as
 * soon as the store is closed; `MISUSE` while another thread is in a call with this handle that needs it alone; as
 * `etclite_put`. After an error it does not stand, and what could not be removed goes with the session.
 */
ETCLITE_API
int32_t etclite_election_campaign(struct etclite_election *election,
                                  const uint8_t *value,
                                  size_t value_len,
                                  int64_t timeout_ms,
                                  struct etclite_error *err);

/**
 * Changes the proposal of the leader, without another election: key, lease and place stay. Durable on return.
 *
 * Errors: `NOT_LEADER_OF_ELECTION` if it does not lead, or not any more; `MISUSE` while another thread is in a call with
 * this handle that needs it alone; as `etclite_put`.
 */
ETCLITE_API
int32_t etclite_election_proclaim(struct etclite_election *election,
                                  const uint8_t *value,
                                  size_t value_len,
                                  struct etclite_error *err);

/**
 * Gives the lead to the next candidate: the key is gone on return, durably. After another error than
 * `NOT_LEADER_OF_ELECTION` it leads as before, and this can be called again.
 *
 * Errors: as `etclite_election_proclaim`. (etcd's clients say nothing if it does not lead.)
 */
ETCLITE_API
int32_t etclite_election_resign(struct etclite_election *election,
                                struct etclite_error *err);

/**
 * The leader's key with its proposal, whoever leads. Returns `ETCLITE_NOT_FOUND`, without a result, if nobody does. The
 * result must be freed by `etclite_result_free`.
 *
 * Errors: `CLOSED`, `IO`, `CORRUPT`.
 */
ETCLITE_API
int32_t etclite_election_leader(const struct etclite_election *election,
                                struct etclite_result **result,
                                struct etclite_error *err);

/**
 * Follows who leads, whoever it is: the first call gives the leader as of then, if there is one, each later one the next
 * leader or the next proposal, waiting for it for at most `timeout_ms`: -1 for ever, 0 not at all. Returns
 * `ETCLITE_TIMEOUT`, without a result, if none came. Each comes once, in order; what a compaction has passed before it
 * was asked for is skipped. The result must be freed by `etclite_result_free`; its header has the revision at which the
 * proposal was made.
 *
 * Nobody but the caller is needed for it: it goes on when the session has ended. To campaign and to observe at the same
 * time takes a handle each.
 *
 * Errors: `CANCELED`; `CLOSED` as soon as the store is closed; `MISUSE` while another thread is in a call with this
 * handle that needs it alone; `IO`, `CORRUPT`.
 */
ETCLITE_API
int32_t etclite_election_observe(struct etclite_election *election,
                                 int64_t timeout_ms,
                                 struct etclite_result **result,
                                 struct etclite_error *err);

/**
 * Ends the waits with this handle from any thread: `etclite_election_campaign` and `etclite_election_observe` answer
 * `CANCELED`, those that wait and all later ones, and a candidate stands no more. Does not wait for that. Who leads goes
 * on leading.
 *
 * Errors: `CLOSED`.
 */
ETCLITE_API
int32_t etclite_election_cancel(const struct etclite_election *election,
                                struct etclite_error *err);

/**
 * Frees an election, from any thread. A lead that it has is resigned; one that cannot be resigned goes with the session,
 * which is renewed no more. A wait in progress ends with `CANCELED`. Null is allowed and does nothing.
 */
ETCLITE_API
int32_t etclite_election_free(struct etclite_election *election);

/**
 * A lock by this name. Nothing is done yet. The handle must be freed by `etclite_mutex_free`; it holds the session,
 * which must still be closed.
 *
 * Errors: `CLOSED`.
 */
ETCLITE_API
int32_t etclite_mutex_new(const struct etclite_session *session,
                          const uint8_t *name,
                          size_t name_len,
                          struct etclite_mutex **mutex,
                          struct etclite_error *err);

/**
 * Takes the lock, waiting for it for at most `timeout_ms`: -1 for ever, 0 not at all. Returns `ETCLITE_TIMEOUT` if it
 * did not come in time: then nothing of this attempt is left, and whoever came later moves up. It is durable on return
 * that the lock is held.
 *
 * Errors: `SESSION_EXPIRED` as soon as the session is over, while somebody else may still hold the lock; `CANCELED`;
 * `CLOSED` as soon as the store is closed; `MISUSE` while another thread is locking or unlocking with this handle; as
 * `etclite_put`. After an error nothing is held, and what could not be removed goes with the session.
 */
ETCLITE_API
int32_t etclite_mutex_lock(struct etclite_mutex *mutex,
                           int64_t timeout_ms,
                           struct etclite_error *err);

/**
 * Takes the lock if nobody has it. Returns `ETCLITE_NOT_ACQUIRED` if somebody has, or is before us; then nothing was
 * written.
 *
 * Errors: as `etclite_mutex_lock`, but for `CANCELED`.
 */
ETCLITE_API
int32_t etclite_mutex_try_lock(struct etclite_mutex *mutex,
                               struct etclite_error *err);

/**
 * Releases the lock: its key is gone on return, durably, and the next in line goes on. After an error other than those
 * named first the lock is as it was, and this can be called again.
 *
 * Errors: `LOCK_RELEASED` the second time, or if it was never locked; `SESSION_EXPIRED` if the lock was lost before, or
 * released through another handle of the same session: nothing of others is freed. `MISUSE` while another thread is
 * locking or unlocking with this handle; as `etclite_put`.
 */
ETCLITE_API
int32_t etclite_mutex_unlock(struct etclite_mutex *mutex,
                             struct etclite_error *err);

/**
 * The fencing number of the lock that is held: the revision that created its key, which rises from owner to owner. What
 * must not happen without the lock is done by a txn with `etclite_txn_fenced`, or compares the number where it is done.
 *
 * That there is a number does not prove that the lock is held: a session can be lost.
 *
 * Errors: `LOCK_RELEASED` if it is not locked; `SESSION_EXPIRED` once an unlock has found that it was lost; `CLOSED`.
 */
ETCLITE_API
int32_t etclite_mutex_revision(const struct etclite_mutex *mutex,
                               int64_t *create_revision,
                               struct etclite_error *err);

/**
 * The key of the lock for this session, whether it is locked or not. A view: valid until the mutex is freed.
 *
 * Errors: `CLOSED`.
 */
ETCLITE_API
int32_t etclite_mutex_key(const struct etclite_mutex *mutex,
                          const uint8_t **key,
                          size_t *key_len,
                          struct etclite_error *err);

/**
 * Ends a wait for the lock from any thread: `etclite_mutex_lock` with this handle answers `CANCELED`, the one that waits
 * and all later ones, and its place in the line is given up. Does not wait for that. A lock that is held stays held.
 *
 * Errors: `CLOSED`.
 */
ETCLITE_API
int32_t etclite_mutex_cancel(const struct etclite_mutex *mutex,
                             struct etclite_error *err);

/**
 * Frees a mutex, from any thread. A lock that it holds is released; one that cannot be released goes with the session,
 * which is renewed no more. A wait in progress ends with `CANCELED`. Null is allowed and does nothing.
 */
ETCLITE_API
int32_t etclite_mutex_free(struct etclite_mutex *mutex);

/**
 * Opens a session: grants a lease, durably, and renews it in the background until the session is closed, the lease is
 * gone, or the process stood still for longer than it lasts. `options` may be null: all defaults. The handle must be
 * closed by `etclite_session_close`.
 *
 * Errors: `LEASE_NOT_FOUND` if the lease to take over does not exist; `LEASE_TTL_TOO_LARGE`; `REQUEST_TOO_LARGE` for a
 * lock delay above 60 s; as `etclite_put`; `IO` if the system has no thread to renew it by.
 */
ETCLITE_API
int32_t etclite_session_open(const struct etclite_db *db,
                             const struct etclite_session_options *options,
                             struct etclite_session **session,
                             struct etclite_error *err);

/**
 * Closes a session. The handle is invalid from here on, whatever is returned, but for `INVALID_ARGUMENT`; who waits for
 * a lock with this session gets `SESSION_EXPIRED`. With `revoke` 1 its lease is revoked and its keys are gone on return,
 * so that the next in each line goes on at once; with 0 they are left to end when the lease does, or to whoever keeps it
 * alive. Its mutexes and elections must still be freed. Null is allowed and does nothing.
 *
 * Errors: as `etclite_put`, if the lease could not be revoked: then it ends by itself. A store that is closed, and a
 * lease that is gone, are none.
 */
ETCLITE_API
int32_t etclite_session_close(struct etclite_session *session,
                              int32_t revoke,
                              struct etclite_error *err);

/**
 * The session's lease, for keys that are to go with it.
 *
 * Errors: `CLOSED`.
 */
ETCLITE_API
int32_t etclite_session_lease(const struct etclite_session *session,
                              int64_t *lease,
                              struct etclite_error *err);

/**
 * Whether the session is over, as far as its owner can know: 1 or 0. Once 1 it stays so. It is 1 at the latest one time
 * to live after the last renewal, though nobody may have ended the lease yet.
 *
 * Errors: `CLOSED`.
 */
ETCLITE_API
int32_t etclite_session_expired(const struct etclite_session *session,
                                int32_t *expired,
                                struct etclite_error *err);

/**
 * Opens the store in the directory `path`, creating it if it is not there. Everything that was acknowledged before is
 * there again, whatever ended the process that wrote it.
 *
 * `options` may be null: all defaults. The handle must be closed by `etclite_close`. Blocks while it reads the log, and
 * for a store that is open elsewhere as long as `lock_wait_ms` says.
 *
 * Errors: `LOCKED` if it is open elsewhere, in this process too (`detail`: the process); `NO_SPACE`, `IO`, `CORRUPT`,
 * `NOT_A_DATABASE`, `FORMAT_TOO_NEW`; `FULL`.
 */
ETCLITE_API
int32_t etclite_open(const uint8_t *path,
                     size_t path_len,
                     const struct etclite_open_options *options,
                     struct etclite_db **db,
                     struct etclite_error *err);

/**
 * Closes a store for everybody. The handle is invalid from here on, whatever is returned; all who wait in another call
 * are woken with `CLOSED`; what is in memory is written, and the store can be opened again. Other calls with this handle
 * have left when it returns. Handles that came from it answer `CLOSED`, a call that is inside maybe a moment after this
 * has returned, and must still be freed, in any order. Null is allowed and does nothing.
 *
 * Errors: what could not be written (`IO`, `NO_SPACE`). Nothing that was acknowledged as synced is lost.
 */
ETCLITE_API
int32_t etclite_close(struct etclite_db *db,
                      struct etclite_error *err);

/**
 * Tells how large a store is, where it stands, and what is open in it. `info->struct_size` must be set. Counts the
 * keys, which takes as long as walking over them.
 *
 * Errors: `CLOSED`, `IO`, `CORRUPT`.
 */
ETCLITE_API
int32_t etclite_status(const struct etclite_db *db,
                       struct etclite_status_info *info,
                       struct etclite_error *err);

/**
 * Makes everything that was acknowledged so far durable, what a relaxed store acknowledged included.
 *
 * Errors: `CLOSED`, `READ_ONLY`, `POISONED`; `INDETERMINATE` if the disk failed.
 */
ETCLITE_API
int32_t etclite_sync(const struct etclite_db *db,
                     struct etclite_error *err);

/**
 * The store's revision and its compact revision, at the cost of two loads.
 *
 * Errors: `MISUSE`.
 */
ETCLITE_API
int32_t etclite_revision(const struct etclite_db *db,
                         int64_t *revision,
                         int64_t *compact_revision,
                         struct etclite_error *err);

/**
 * Puts a value at a key, in one revision. Durable on return as the store was opened. `options` may be null; `result`
 * may be null, or gets the header and, with `ETCLITE_PUT_PREV_KV`, the key as it was.
 *
 * Errors: `EMPTY_KEY`, `REQUEST_TOO_LARGE`, `LEASE_NOT_FOUND`, `VALUE_PROVIDED`, `LEASE_PROVIDED`, `KEY_NOT_FOUND`,
 * `NO_SPACE`, `READ_ONLY`, `POISONED`, `CLOSED`, `DEADLINE_EXCEEDED`: nothing was written. `INDETERMINATE`: it may or may
 * not be there after a reopen.
 */
ETCLITE_API
int32_t etclite_put(const struct etclite_db *db,
                    const uint8_t *key,
                    size_t key_len,
                    const uint8_t *value,
                    size_t value_len,
                    const struct etclite_put_options *options,
                    struct etclite_result **result,
                    struct etclite_error *err);

/**
 * Reads one key, as of a revision; 0 is the latest. Returns `ETCLITE_NOT_FOUND`, without a result, if it is not there.
 *
 * Errors: `EMPTY_KEY`, `COMPACTED`, `FUTURE_REVISION`, `IO`, `CORRUPT`, `CLOSED`.
 */
ETCLITE_API
int32_t etclite_get(const struct etclite_db *db,
                    const uint8_t *key,
                    size_t key_len,
                    int64_t revision,
                    struct etclite_result **result,
                    struct etclite_error *err);

/**
 * Reads a range: one key if `end_len` is 0, else the keys from `key` on and below `end`; an end of one zero byte is
 * everything from `key` on. The flags `PREFIX` and `FROM_KEY` replace the end. All keys are in memory at once: for
 * large ranges there is `etclite_scan_open`. `options` may be null.
 *
 * Errors: as `etclite_get`, and `INVALID_SORT`.
 */
ETCLITE_API
int32_t etclite_range(const struct etclite_db *db,
                      const uint8_t *key,
                      size_t key_len,
                      const uint8_t *end,
                      size_t end_len,
                      const struct etclite_range_options *options,
                      struct etclite_result **result,
                      struct etclite_error *err);

/**
 * Deletes a key, or the keys of a range, in one revision: none if there was nothing to delete. `flags` are
 * `ETCLITE_RANGE_PREFIX`, `ETCLITE_RANGE_FROM_KEY` and `ETCLITE_DELETE_PREV_KV`. `deleted` and `prev` may be null; `prev`
 * gets a result, with the deleted keys in key order if they were asked for.
 *
 * Errors: as `etclite_put`; `REQUEST_TOO_LARGE` if more than a million keys would go.
 */
ETCLITE_API
int32_t etclite_delete(const struct etclite_db *db,
                       const uint8_t *key,
                       size_t key_len,
                       const uint8_t *end,
                       size_t end_len,
                       uint32_t flags,
                       int64_t *deleted,
                       struct etclite_result **prev,
                       struct etclite_error *err);

/**
 * Drops history below a revision, which itself stays readable. Durable on return; space comes back by itself, or with
 * the flag `ETCLITE_COMPACT_PHYSICAL` before the call returns.
 *
 * Errors: `COMPACTED` if the revision is not above the compact revision; `FUTURE_REVISION`; as `etclite_put`;
 * `NOT_RECLAIMED` once it is done and giving back its space failed.
 */
ETCLITE_API
int32_t etclite_compact(const struct etclite_db *db,
                        int64_t revision,
                        uint32_t flags,
                        struct etclite_error *err);

/**
 * The end of the range of all keys that begin with a prefix, as etcd's clients make it: of use with `etclite_call`. At
 * most `cap` bytes are written to `out`; `*len` is how long it is, which is never more than the prefix, or 1. A prefix of
 * nothing, or of bytes 0xff alone, has the end of one zero byte.
 *
 * Errors: `INVALID_ARGUMENT` if `cap` is too small.
 */
ETCLITE_API
int32_t etclite_prefix_end(const uint8_t *prefix,
                           size_t prefix_len,
                           uint8_t *out,
                           size_t cap,
                           size_t *len,
                           struct etclite_error *err);

/**
 * Grants a lease of `ttl_ms`, at least the store's smallest: keys that are put with it go when it ends, all in one
 * revision, unless it is kept alive. With `id` 0 the store draws one. `info` may be null; its `remaining_ms` is what was
 * granted. Durable on return as the store was opened.
 *
 * Differs from etcd: milliseconds, and what is left of a lease survives a restart.
 *
 * Errors: `LEASE_EXISTS`; `LEASE_TTL_TOO_LARGE` above 9,000,000,000 s; as `etclite_put`.
 */
ETCLITE_API
int32_t etclite_lease_grant(const struct etclite_db *db,
                            int64_t ttl_ms,
                            int64_t id,
                            struct etclite_lease_info *info,
                            struct etclite_error *err);

/**
 * Ends a lease and deletes its keys, in one revision. Durable on return as the store was opened.
 *
 * Errors: `LEASE_NOT_FOUND`; as `etclite_put`.
 */
ETCLITE_API
int32_t etclite_lease_revoke(const struct etclite_db *db,
                             int64_t id,
                             struct etclite_error *err);

/**
 * Starts a lease's time anew. `info` may be null; its `remaining_ms` is the time that begins. The first renewal after a
 * grant or an open is durable on return; later ones write nothing.
 *
 * Differs from etcd: a lease that is gone is an error, where its answer is a TTL of 0.
 *
 * Errors: `LEASE_NOT_FOUND` once it is gone; as `etclite_put`.
 */
ETCLITE_API
int32_t etclite_lease_keepalive(const struct etclite_db *db,
                                int64_t id,
                                struct etclite_lease_info *info,
                                struct etclite_error *err);

/**
 * What is left of a lease, and which keys it holds: `keys` gets a result, in the order of keys, in which of each its key
 * and its lease alone are set. `info` and `keys` may be null. Waits for writes that are under way.
 *
 * Errors: `LEASE_NOT_FOUND`; `POISONED`, since the end of a lease may then be unknown; `CLOSED`, `IO`, `CORRUPT`.
 */
ETCLITE_API
int32_t etclite_lease_info_get(const struct etclite_db *db,
                               int64_t id,
                               struct etclite_lease_info *info,
                               struct etclite_result **keys,
                               struct etclite_error *err);

/**
 * The ids of all leases, by the time they end. Up to `cap` of them are written to `ids`, which may be null if `cap` is 0;
 * `*count` is how many leases there are, and may be more. Waits for writes that are under way.
 *
 * Errors: `POISONED`, since the end of a lease may then be unknown; `CLOSED`, `IO`, `CORRUPT`.
 */
ETCLITE_API
int32_t etclite_lease_list(const struct etclite_db *db,
                           int64_t *ids,
                           size_t cap,
                           size_t *count,
                           struct etclite_error *err);

/**
 * The version of the library that the program runs with, such as "0.1.0". The text is static.
 */
ETCLITE_API const char *etclite_version(void);

/**
 * The version of the library that the program runs with, as a number: `ETCLITE_VERSION_NUMBER` is that of the header it
 * was compiled with.
 */
ETCLITE_API
uint32_t etclite_version_number(void);

/**
 * The binary interface of the library that the program runs with: it must equal `ETCLITE_ABI_VERSION`.
 */
ETCLITE_API
uint32_t etclite_abi_version(void);

/**
 * Whether the library was built with a feature: `ETCLITE_OK`, or `ETCLITE_NOT_FOUND` if not, or if there is no such
 * feature. `import-etcd`: `etclite_import_etcd`; `metrics`: `ETCLITE_STATS_PROMETHEUS`; `replicate`: groups. Without it
 * the functions are there all the same, and answer `UNSUPPORTED`.
 */
ETCLITE_API
int32_t etclite_has_feature(const uint8_t *name,
                            size_t name_len,
                            struct etclite_error *err);

/**
 * What a status means, in a few words of English. The text is static, and there is one for numbers that are none, too.
 */
ETCLITE_API
const char *etclite_status_text(int32_t status);

/**
 * Has `sink` told what happens in the background of all stores of this process, up to `level`, one of
 * `ETCLITE_LOG_..`, with `context` as it is. It replaces the sink before, which nobody is inside of any more on return;
 * so do not call this while holding what the sink waits for. `ETCLITE_LOG_OFF` and null end the log. Of stores that are
 * open already as well as of later ones; by default there is no log.
 *
 * Errors: `INVALID_ARGUMENT` for an unknown level; `MISUSE` for a level without a sink, and from inside a sink.
 */
ETCLITE_API
int32_t etclite_set_log(uint32_t level,
                        etclite_log_sink sink,
                        void *context,
                        struct etclite_error *err);

/**
 * Figures of an open store, in `format`, one of `ETCLITE_STATS_..`. Reads no storage. The buffer must be freed by
 * `etclite_buf_free`. New figures come with new releases.
 *
 * Errors: `CLOSED`; `UNSUPPORTED` for `ETCLITE_STATS_PROMETHEUS` without the feature `metrics`.
 */
ETCLITE_API
int32_t etclite_stats(const struct etclite_db *db,
                      uint32_t format,
                      struct etclite_buf *stats,
                      struct etclite_error *err);

/**
 * Writes a copy of the store, as of now, to the new directory `path`: history, leases and all, under an id of its own.
 * It appears whole, durable, or not at all; writes go on meanwhile. Works on a poisoned store too. `flags` must be 0.
 *
 * Errors: `IO` if the path exists or cannot be written, `NO_SPACE`, `CORRUPT`, `CLOSED`.
 */
ETCLITE_API
int32_t etclite_backup(const struct etclite_db *db,
                       const uint8_t *path,
                       size_t path_len,
                       uint32_t flags,
                       struct etclite_error *err);

/**
 * Makes the new store `target` from the copy `source`, which is checked before and stays as it is. The store appears
 * whole, durable, or not at all, under an id of its own; it is not opened. `options` may be null: all defaults.
 *
 * Errors: as `etclite_open`, of the copy; `CORRUPT` if it is damaged; `IO` if the target exists or cannot be written,
 * `NO_SPACE`.
 */
ETCLITE_API
int32_t etclite_restore(const uint8_t *source,
                        size_t source_len,
                        const uint8_t *target,
                        size_t target_len,
                        const struct etclite_restore_options *options,
                        struct etclite_error *err);

/**
 * Makes the new store `target` from an etcd snapshot: a file written by `etcdctl snapshot save`, or a member's
 * `member/snap/db` with `ETCLITE_IMPORT_SKIP_HASH_CHECK`. The store appears whole, durable, or not at all; it is not
 * opened. `options` may be null: all defaults.
 *
 * Errors: `NOT_A_DATABASE` if the source is no snapshot; `CORRUPT`; `INVALID_ARGUMENT` if it has no hash; `LOCKED` if an
 * etcd has it open; `FORMAT_TOO_NEW`; `REQUEST_TOO_LARGE`; `IO` if the target exists or a file cannot be read or
 * written, `NO_SPACE`; `UNSUPPORTED` without the feature `import-etcd`.
 */
ETCLITE_API
int32_t etclite_import_etcd(const uint8_t *source,
                            size_t source_len,
                            const uint8_t *target,
                            size_t target_len,
                            const struct etclite_import_options *options,
                            struct etclite_error *err);

/**
 * Checks the store in the directory `path`, which must not be open elsewhere, and changes nothing. `report` gets a JSON
 * object: `clean` is whether nothing is wrong; `problems` has an object with `file`, `offset` and `what` for each thing
 * that is. The buffer must be freed by `etclite_buf_free`. `flags` are `ETCLITE_CHECK_..`.
 *
 * Returns `ETCLITE_OK` when it has looked, whatever it has found.
 *
 * Errors: as `etclite_open`, but for `CORRUPT`, which is in the report; `IO`.
 */
ETCLITE_API
int32_t etclite_check(const uint8_t *path,
                      size_t path_len,
                      uint32_t flags,
                      struct etclite_buf *report,
                      struct etclite_error *err);

/**
 * A hash of everything that is retained up to a revision; 0 is the latest. Stores that are equal have equal hashes, if
 * they are compacted at the same revision. `at_revision` and `compact_revision`, which may be null, get of what it is.
 *
 * Errors: `COMPACTED`, `FUTURE_REVISION`, `IO`, `CORRUPT`, `CLOSED`.
 */
ETCLITE_API
int32_t etclite_hash(const struct etclite_db *db,
                     int64_t revision,
                     uint32_t *hash,
                     int64_t *at_revision,
                     int64_t *compact_revision,
                     struct etclite_error *err);

/**
 * Merges what is in memory and in files into as few files as there can be, and gives back the space of what was
 * compacted. Never needed: as much of it as is worth it goes on in the background. Reads and writes go on meanwhile.
 *
 * Errors: `READ_ONLY`, `NO_SPACE`, `POISONED`, `CLOSED`, `IO`, `CORRUPT`.
 */
ETCLITE_API
int32_t etclite_defrag(const struct etclite_db *db,
                       struct etclite_error *err);

/**
 * Makes a poller, which belongs to a store and waits for its watches. Those of another store may be added, too. It must
 * be freed by `etclite_poller_free`.
 *
 * Errors: `IO` if there is no descriptor left; `CLOSED`; `FULL`.
 */
ETCLITE_API
int32_t etclite_poller_new(const struct etclite_db *db,
                           struct etclite_poller **poller,
                           struct etclite_error *err);

/**
 * The poller's descriptor, which can be read from exactly while `etclite_poller_wait` has something to return: one for
 * `poll`, `epoll`, `kqueue` or an event loop. It stays the poller's, and is closed with it: wait for it, or for a `dup`
 * of it, but do not close it. Whoever reads from it must call `etclite_poller_wait` afterwards until that returns
 * `ETCLITE_TIMEOUT`.
 */
ETCLITE_API
int32_t etclite_poller_fd(const struct etclite_poller *poller,
                          int32_t *fd,
                          struct etclite_error *err);

/**
 * Adds a watch, under a number that is the caller's to choose: a pointer, an index, a descriptor. The watch is reported
 * as soon as `etclite_watch_next` has something to return, be it an error, and right away if that is so now. It is
 * reported once, and again only after `etclite_watch_next` or `etclite_watch_next_raw` has returned `ETCLITE_TIMEOUT`:
 * so call that until it does.
 *
 * That progress is due, which an `etcdserverpb.WatchCreateRequest` can ask for, makes no watch ready: it comes with a read
 * that finds it due. A wait with a limit, and a read after it, is how to have it in time.
 *
 * A watch is in one poller at most. Cancelling a watch, or closing its store, makes it ready; freeing it takes it out.
 *
 * Errors: `INVALID_ARGUMENT` if the watch is in a poller already.
 */
ETCLITE_API
int32_t etclite_poller_add(const struct etclite_poller *poller,
                           const struct etclite_watch *watch,
                           uint64_t cookie,
                           struct etclite_error *err);

/**
 * Takes a watch out of the poller: it is not reported any more. Freeing the watch does it, too. Returns
 * `ETCLITE_NOT_FOUND` if it is not in there.
 */
ETCLITE_API
int32_t etclite_poller_remove(const struct etclite_poller *poller,
                              const struct etclite_watch *watch,
                              struct etclite_error *err);

/**
 * Waits until a watch is ready, at most `timeout_ms` (-1: for ever; 0: not at all), and writes the numbers of those that
 * are to `cookies`, up to `cap` of them, in the order in which they became ready. `*count` is how many. Those that found
 * no room are told by the next call.
 *
 * Returns `ETCLITE_TIMEOUT` with `*count` 0 if there was nothing, and `ETCLITE_OK` with `*count` 0 if
 * `etclite_poller_wake` was called and there was nothing else.
 *
 * Errors: `CLOSED` once the store is closed and all watches that this made ready were told; `CANCELED` if the poller is
 * freed meanwhile.
 */
ETCLITE_API
int32_t etclite_poller_wait(struct etclite_poller *poller,
                            int64_t timeout_ms,
                            uint64_t *cookies,
                            size_t cap,
                            size_t *count,
                            struct etclite_error *err);

/**
 * Ends the wait that is in progress, or else the next one: it returns `ETCLITE_OK`. From any thread, at any time.
 */
ETCLITE_API
int32_t etclite_poller_wake(const struct etclite_poller *poller,
                            struct etclite_error *err);

/**
 * Frees a poller and closes its descriptor. Its watches go on, and may be added to another. A wait in progress in
 * another thread ends with `CANCELED`. Null is allowed and does nothing.
 */
ETCLITE_API
int32_t etclite_poller_free(struct etclite_poller *poller);

/**
 * Opens a store as a member of a group. Not in this release.
 *
 * Errors: `INVALID_ARGUMENT` for options that cannot be; `UNSUPPORTED`.
 */
ETCLITE_API
int32_t etclite_cluster_open(const struct etclite_cluster_options *options,
                             struct etclite_db **db,
                             struct etclite_error *err);

/**
 * The members of the group, as a JSON array of objects: `id`, `name`, `address`, `learner`, `leader`. The buffer must be
 * freed by `etclite_buf_free`. Not in this release.
 *
 * Errors: `CLOSED`; `UNSUPPORTED`.
 */
ETCLITE_API
int32_t etclite_member_list(const struct etclite_db *db,
                            struct etclite_buf *members,
                            struct etclite_error *err);

/**
 * Invites a member of this name: `invite` gets a text that is good once and for a while, and that the new member opens
 * its store with. The buffer must be freed by `etclite_buf_free`. `flags` are 0 or `ETCLITE_CLUSTER_LEARNER`: a member that
 * stays a learner until it is promoted. Not in this release.
 *
 * Errors: `INVALID_ARGUMENT` for an empty name; `CLOSED`; `UNSUPPORTED`.
 */
ETCLITE_API
int32_t etclite_member_add(const struct etclite_db *db,
                           const uint8_t *name,
                           size_t name_len,
                           uint32_t flags,
                           struct etclite_buf *invite,
                           struct etclite_error *err);

/**
 * Removes a member from the group, for good. Not in this release.
 *
 * Errors: `INVALID_ARGUMENT` for the id 0; `CLOSED`; `UNSUPPORTED`.
 */
ETCLITE_API
int32_t etclite_member_remove(const struct etclite_db *db,
                              uint64_t member_id,
                              struct etclite_error *err);

/**
 * Gives a learner a vote. Not in this release.
 *
 * Errors: `INVALID_ARGUMENT` for the id 0; `CLOSED`; `UNSUPPORTED`.
 */
ETCLITE_API
int32_t etclite_member_promote(const struct etclite_db *db,
                               uint64_t member_id,
                               struct etclite_error *err);

/**
 * Hands the lead of the group to a member. Not in this release.
 *
 * Errors: `INVALID_ARGUMENT` for the id 0; `CLOSED`; `UNSUPPORTED`.
 */
ETCLITE_API
int32_t etclite_move_leader(const struct etclite_db *db,
                            uint64_t member_id,
                            struct etclite_error *err);

/**
 * Waits until the group has a leader, for at most `timeout_ms`: -1 for ever, 0 not at all. `leader_id` gets its id.
 * Returns `ETCLITE_TIMEOUT` if there was none in time. Not in this release.
 *
 * Errors: `CLOSED`; `UNSUPPORTED`.
 */
ETCLITE_API
int32_t etclite_await_leader(const struct etclite_db *db,
                             int64_t timeout_ms,
                             uint64_t *leader_id,
                             struct etclite_error *err);

/**
 * Where the result comes from, and at which revision: that of the store when it was read, or the one that a write made.
 */
ETCLITE_API
int32_t etclite_result_header(const struct etclite_result *result,
                              struct etclite_header *header,
                              struct etclite_error *err);

/**
 * The keys of the result, in the order asked for: `*count` of them from `*kvs` on. Views: valid until the result is
 * freed. A put's or delete's result has the keys as they were before, if they were asked for.
 */
ETCLITE_API
int32_t etclite_result_kvs(const struct etclite_result *result,
                           const struct etclite_kv **kvs,
                           size_t *count,
                           struct etclite_error *err);

/**
 * How many keys the range holds, whatever the limit; of a delete, how many it deleted; of a put, 0.
 */
ETCLITE_API
int32_t etclite_result_count(const struct etclite_result *result,
                             int64_t *count,
                             struct etclite_error *err);

/**
 * The key as it was before a put: null if there was none, or if it was not asked for. A view: valid until the result
 * is freed.
 */
ETCLITE_API
int32_t etclite_result_prev(const struct etclite_result *result,
                            const struct etclite_kv **prev,
                            struct etclite_error *err);

/**
 * Whether the limit cut something off: 1 or 0.
 */
ETCLITE_API
int32_t etclite_result_more(const struct etclite_result *result,
                            int32_t *more,
                            struct etclite_error *err);

/**
 * Frees a result and all its views. Null is allowed and does nothing.
 */
ETCLITE_API int32_t etclite_result_free(struct etclite_result *result);

/**
 * Begins a scan of a range, named as for `etclite_range`: all keys as of one revision, whatever is written or compacted
 * meanwhile. In the order of keys, in either direction, it needs constant memory; any other order sorts the range in
 * memory first; with `ETCLITE_RANGE_COUNT_ONLY` there are no keys. It holds what it reads from, memory and files, until
 * it is freed by `etclite_scan_free`. `options` may be null.
 *
 * Errors: as `etclite_range`.
 */
ETCLITE_API
int32_t etclite_scan_open(const struct etclite_db *db,
                          const uint8_t *key,
                          size_t key_len,
                          const uint8_t *end,
                          size_t end_len,
                          const struct etclite_range_options *options,
                          struct etclite_scan **scan,
                          struct etclite_error *err);

/**
 * The next keys of the scan: at most `kvs_max` of them (0: 1000), and at most `bytes_max` bytes of keys and values (0: 1
 * MiB), but always one, whole, however large it is. Returns `ETCLITE_END`, without a result, each time once there are no
 * more. The result must be freed by `etclite_result_free`; its count is that of its own keys.
 *
 * Errors: `CLOSED`, `IO`, `CORRUPT`: they end the scan, and are returned each time from then on.
 */
ETCLITE_API
int32_t etclite_scan_next(struct etclite_scan *scan,
                          size_t kvs_max,
                          size_t bytes_max,
                          struct etclite_result **result,
                          struct etclite_error *err);

/**
 * Frees a scan, and lets go of what it held. Results that it returned go on. Null is allowed and does nothing.
 */
ETCLITE_API
int32_t etclite_scan_free(struct etclite_scan *scan);

/**
 * Begins a txn, which belongs to no store until it is committed: comparisons, and two lists of operations, of which the
 * first is run if all comparisons hold, and else the second. Operations go to the first one until `etclite_txn_else`.
 * Nothing of it is checked against a store before it is committed. It must be freed by `etclite_txn_free`.
 *
 * Errors: `FULL`.
 */
ETCLITE_API
int32_t etclite_txn_new(struct etclite_txn **txn,
                        struct etclite_error *err);

/**
 * Adds a comparison of a key's value, bytewise, by an operator `ETCLITE_COMPARE_..`. It holds for no key that does not
 * exist, whatever the operator. All comparisons of a txn must hold; they see the store as it was before the txn.
 */
ETCLITE_API
int32_t etclite_txn_if_value(struct etclite_txn *txn,
                             const uint8_t *key,
                             size_t key_len,
                             uint32_t op,
                             const uint8_t *value,
                             size_t value_len,
                             struct etclite_error *err);

/**
 * Adds a comparison of one of a key's numbers, `ETCLITE_TARGET_..` other than its value, by an operator
 * `ETCLITE_COMPARE_..`. That a key does not exist is `ETCLITE_TARGET_VERSION` equal to 0.
 */
ETCLITE_API
int32_t etclite_txn_if_int(struct etclite_txn *txn,
                           const uint8_t *key,
                           size_t key_len,
                           uint32_t target,
                           uint32_t op,
                           int64_t number,
                           struct etclite_error *err);

/**
 * Adds a comparison that must hold for every key of a range, named as for `etclite_range`; `flags` are
 * `ETCLITE_RANGE_PREFIX` and `ETCLITE_RANGE_FROM_KEY`. The value is for `ETCLITE_TARGET_VALUE`, the number for all other
 * targets; the one that is not used must be empty, or 0. An empty range is judged as a key that does not exist.
 */
ETCLITE_API
int32_t etclite_txn_if_range(struct etclite_txn *txn,
                             const uint8_t *key,
                             size_t key_len,
                             const uint8_t *end,
                             size_t end_len,
                             uint32_t flags,
                             uint32_t target,
                             uint32_t op,
                             const uint8_t *value,
                             size_t value_len,
                             int64_t number,
                             struct etclite_error *err);

/**
 * Has the txn run only while a lock is held that `mutex` holds now: committed after that was lost, neither list is run, and
 * the answer is `SESSION_EXPIRED`. That is decided by the store, in the order of all writes, and not by what this process
 * believes. The mutex may be unlocked or freed afterwards. Of several fences all must hold.
 *
 * Errors: `LOCK_RELEASED` if the mutex holds no lock; `SESSION_EXPIRED` if it is known to have lost it; `CLOSED`.
 */
ETCLITE_API
int32_t etclite_txn_fenced(struct etclite_txn *txn,
                           const struct etclite_mutex *mutex,
                           struct etclite_error *err);

/**
 * Operations go from now on to the list that is run if all comparisons hold.
 */
ETCLITE_API int32_t etclite_txn_then(struct etclite_txn *txn, struct etclite_error *err);

/**
 * Operations go from now on to the list that is run if a comparison does not hold.
 */
ETCLITE_API int32_t etclite_txn_else(struct etclite_txn *txn, struct etclite_error *err);

/**
 * Adds a put, as `etclite_put`. A txn may put a key once. `options` may be null.
 */
ETCLITE_API
int32_t etclite_txn_put(struct etclite_txn *txn,
                        const uint8_t *key,
                        size_t key_len,
                        const uint8_t *value,
                        size_t value_len,
                        const struct etclite_put_options *options,
                        struct etclite_error *err);

/**
 * Adds a read of a range, as `etclite_range`. It sees what the operations before it did. `options` may be null.
 */
ETCLITE_API
int32_t etclite_txn_range(struct etclite_txn *txn,
                          const uint8_t *key,
                          size_t key_len,
                          const uint8_t *end,
                          size_t end_len,
                          const struct etclite_range_options *options,
                          struct etclite_error *err);

/**
 * Adds a read of one key. Its result is empty if the key is not there.
 */
ETCLITE_API
int32_t etclite_txn_get(struct etclite_txn *txn,
                        const uint8_t *key,
                        size_t key_len,
                        struct etclite_error *err);

/**
 * Adds a delete, as `etclite_delete`: its result has the count, and the keys if `ETCLITE_DELETE_PREV_KV` asks for them.
 */
ETCLITE_API
int32_t etclite_txn_delete(struct etclite_txn *txn,
                           const uint8_t *key,
                           size_t key_len,
                           const uint8_t *end,
                           size_t end_len,
                           uint32_t flags,
                           struct etclite_error *err);

/**
 * Adds another txn as an operation, and takes it over: if this returns `ETCLITE_OK`, its handle `nested` has ended, and
 * need not be freed. Its comparisons see the store as it was before the outermost txn.
 *
 * Errors: `INVALID_ARGUMENT` if the nested txn has a fence; `TOO_MANY_OPS` above 128 levels.
 */
ETCLITE_API
int32_t etclite_txn_nested(struct etclite_txn *txn,
                           struct etclite_txn *nested,
                           struct etclite_error *err);

/**
 * Forgets everything that was added, as if the txn were new.
 */
ETCLITE_API int32_t etclite_txn_reset(struct etclite_txn *txn, struct etclite_error *err);

/**
 * Runs a txn: all that it changes, in one revision, or nothing. Durable on return as the store was opened. A comparison
 * that does not hold is no error: `*succeeded` is 0 then, and 1 if all held. `result` may be null, or gets what the
 * operations answered, which must be freed by `etclite_txn_result_free`.
 *
 * The txn stays as it was built: it may be committed again, to any store, by several threads at once, be added to, or be
 * emptied by `etclite_txn_reset`.
 *
 * Errors: `SESSION_EXPIRED` if the lock behind a fence was lost; `DUPLICATE_KEY`, `TOO_MANY_OPS`; those of its
 * operations, each of which fails the whole txn; as `etclite_put`.
 */
ETCLITE_API
int32_t etclite_txn_commit(const struct etclite_db *db,
                           const struct etclite_txn *txn,
                           int32_t *succeeded,
                           struct etclite_txn_result **result,
                           struct etclite_error *err);

/**
 * Frees a txn. Null is allowed and does nothing.
 */
ETCLITE_API int32_t etclite_txn_free(struct etclite_txn *txn);

/**
 * Where the answer comes from, and at which revision: the one that the txn made, or if it changed nothing that of the
 * store. Of a nested txn it is that of the outermost one.
 */
ETCLITE_API
int32_t etclite_txn_result_header(const struct etclite_txn_result *result,
                                  struct etclite_header *header,
                                  struct etclite_error *err);

/**
 * Whether all comparisons held: 1 or 0.
 */
ETCLITE_API
int32_t etclite_txn_succeeded(const struct etclite_txn_result *result,
                              int32_t *succeeded,
                              struct etclite_error *err);

/**
 * How many operations the list that was run has, and so how many answers there are.
 */
ETCLITE_API
int32_t etclite_txn_op_count(const struct etclite_txn_result *result,
                             size_t *count,
                             struct etclite_error *err);

/**
 * What the operation `index`, from 0, of the list that was run answered: a put, a delete or a read. It belongs to the
 * txn's result: it is valid until that is freed, and freeing it itself is `MISUSE`. The revision of its header is the
 * txn's new one if it, or an operation before it, changed something; else the one before the txn.
 *
 * Errors: `INVALID_ARGUMENT` if there is no such operation, or if it is a nested txn; `FULL`.
 */
ETCLITE_API
int32_t etclite_txn_op(const struct etclite_txn_result *result,
                       size_t index,
                       const struct etclite_result **op,
                       struct etclite_error *err);

/**
 * As `etclite_txn_op`, for an operation that is a nested txn.
 *
 * Errors: `INVALID_ARGUMENT` if there is no such operation, or if it is no nested txn; `FULL`.
 */
ETCLITE_API
int32_t etclite_txn_op_txn(const struct etclite_txn_result *result,
                           size_t index,
                           const struct etclite_txn_result **nested,
                           struct etclite_error *err);

/**
 * Frees what a txn answered, with the results of its operations. Null is allowed and does nothing.
 */
ETCLITE_API int32_t etclite_txn_result_free(struct etclite_txn_result *result);

/**
 * Begins a watch of a key, or of the keys of a range, as `etclite_range` names them. It is registered when the call
 * returns: every put that is made afterwards is seen. `options` may be null. The watch must be freed by
 * `etclite_watch_free`.
 *
 * A watch holds no events, so it may be read slowly, or not at all, at no cost; only a compaction that passes the next
 * event unread ends it.
 *
 * Errors: `COMPACTED` if the start is below the compact revision (`detail`); `INVALID_ARGUMENT` for an empty range;
 * `FULL`; `CLOSED`.
 */
ETCLITE_API
int32_t etclite_watch_open(const struct etclite_db *db,
                           const uint8_t *key,
                           size_t key_len,
                           const uint8_t *end,
                           size_t end_len,
                           const struct etclite_watch_options *options,
                           struct etclite_watch **watch,
                           struct etclite_error *err);

/**
 * The watch's next events, in the order of their revisions; those of one revision always come together. Waits for them,
 * at most `timeout_ms` (-1: for ever; 0: not at all), and returns `ETCLITE_TIMEOUT` if there were none. The events must
 * be freed by `etclite_events_free`.
 *
 * Returns `ETCLITE_END`, each time, once a store that was opened read-only has nothing more to tell.
 *
 * Errors, each of which ends the watch and is returned each time from then on: `COMPACTED` if the next event is gone
 * (`detail`: the compact revision); `WATCH_CANCELED`; `CLOSED`; `IO`, `CORRUPT`. To go on, open another watch from
 * `etclite_watch_progress` + 1.
 */
ETCLITE_API
int32_t etclite_watch_next(struct etclite_watch *watch,
                           int64_t timeout_ms,
                           struct etclite_events **events,
                           struct etclite_error *err);

/**
 * The revision up to which everything that matches was returned by the watch: another one from this + 1 continues here.
 * Answers at once, also on a watch that has ended and while other threads use it, and never less than before. While
 * another thread is inside `etclite_watch_next` it is what was so when that began.
 */
ETCLITE_API
int32_t etclite_watch_progress(const struct etclite_watch *watch,
                               int64_t *revision,
                               struct etclite_error *err);

/**
 * Ends a watch: `etclite_watch_next`, also one that is waiting in another thread, returns `WATCH_CANCELED` from now on,
 * and a poller reports the watch. It must still be freed. May be called by any thread at any time, and again.
 */
ETCLITE_API
int32_t etclite_watch_cancel(const struct etclite_watch *watch,
                             struct etclite_error *err);

/**
 * Frees a watch, and takes it out of its poller. Events that it returned go on. A call that waits for it in another
 * thread returns `WATCH_CANCELED`. Null is allowed and does nothing.
 */
ETCLITE_API
int32_t etclite_watch_free(struct etclite_watch *watch);

/**
 * The events, in the order of their revisions, and within a revision in the order of its changes: `*count` of them, at
 * least one, from `*events` on. Views: valid until the events are freed.
 */
ETCLITE_API
int32_t etclite_events_get(const struct etclite_events *events,
                           const struct etclite_event **views,
                           size_t *count,
                           struct etclite_error *err);

/**
 * Where the events come from. The revision is that of the last event: a watch from the next one continues there.
 */
ETCLITE_API
int32_t etclite_events_header(const struct etclite_events *events,
                              struct etclite_header *header,
                              struct etclite_error *err);

/**
 * Frees events and all their views. Null is allowed and does nothing.
 */
ETCLITE_API int32_t etclite_events_free(struct etclite_events *events);

/**
 * As `etclite_watch_open`, by an `etcdserverpb.WatchCreateRequest`. The watch is one like any other.
 *
 * Errors: as `etclite_watch_open`; `REQUEST_TOO_LARGE`.
 */
ETCLITE_API
int32_t etclite_watch_create_raw(const struct etclite_db *db,
                                 const uint8_t *request,
                                 size_t len,
                                 struct etclite_watch **watch,
                                 struct etclite_error *err);

/**
 * As `etclite_watch_next`, without waiting, and with the events in an `etcdserverpb.WatchResponse`: header and events,
 * or a header alone if progress is due that the request has asked for. `bytes_max` is about how many bytes of events are
 * returned together by this call, at most; 0 is 1 MiB. The response goes to `out`, as in `etclite_call`.
 *
 * Returns `ETCLITE_TIMEOUT` if there is nothing now: the poller reports the watch once there are events. That progress is
 * due wakes nobody: it comes if it is due when this is called, so who wants it in time calls now and then.
 *
 * Errors: as `etclite_watch_next`. The response's own fields for them, `canceled` and `compact_revision`, are not set:
 * status and `detail` say it.
 */
ETCLITE_API
int32_t etclite_watch_next_raw(struct etclite_watch *watch,
                               size_t bytes_max,
                               uint8_t *out,
                               size_t cap,
                               size_t *out_len,
                               struct etclite_buf *spill,
                               struct etclite_error *err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ETCLITE_H */
