/* One live handle of each kind, in a store that lives in memory, and good arguments for every function. */
#ifndef ETCLITE_TESTS_FIXTURE_H
#define ETCLITE_TESTS_FIXTURE_H

#include "check.h"
#include "functions.h"

struct fixture {
    void *handles[KINDS];
    /* A txn to put into the other one. */
    etclite_txn *nested;
    int64_t lease;
    /* Where a function that takes a path may write. */
    const char *directory;
};

static etclite_error err;

static inline etclite_db *open_in_memory(void) {
    etclite_db *db = NULL;
    etclite_open_options options = {.struct_size = sizeof options, .flags = ETCLITE_OPEN_IN_MEMORY};
    OK(etclite_open(NONE, &options, &db, &err));
    return db;
}

static inline void make_txns(struct fixture *made, etclite_db *db) {
    etclite_txn *txn = NULL;
    etclite_txn_result *answer = NULL;
    int32_t succeeded = 0;
    OK(etclite_txn_new(&made->nested, &err));
    OK(etclite_txn_new(&txn, &err));
    OK(etclite_txn_range(txn, TEXT("k"), NONE, NULL, &err));
    OK(etclite_txn_nested(txn, made->nested, &err));
    OK(etclite_txn_new(&made->nested, &err));
    OK(etclite_txn_commit(db, txn, &succeeded, &answer, &err));
    OK(etclite_txn_free(txn));
    made->handles[KIND_TXN_RESULT] = answer;
    OK(etclite_txn_new(&txn, &err));
    OK(etclite_txn_put(txn, TEXT("t"), TEXT("v"), NULL, &err));
    made->handles[KIND_TXN] = txn;
}

static inline void make_watches(struct fixture *made, etclite_db *db) {
    etclite_watch_options options = {.struct_size = sizeof options, .start_revision = 1, .flags = ETCLITE_RANGE_PREFIX};
    etclite_watch *watch = NULL;
    etclite_events *events = NULL;
    etclite_poller *poller = NULL;
    OK(etclite_watch_open(db, NONE, NONE, &options, &watch, &err));
    OK(etclite_watch_next(watch, 0, &events, &err));
    OK(etclite_poller_new(db, &poller, &err));
    OK(etclite_put(db, TEXT("k"), TEXT("v"), NULL, NULL, &err));
    made->handles[KIND_WATCH] = watch;
    made->handles[KIND_EVENTS] = events;
    made->handles[KIND_POLLER] = poller;
}

static inline void make_locks(struct fixture *made, etclite_db *db) {
    etclite_session *session = NULL;
    etclite_mutex *mutex = NULL;
    etclite_election *election = NULL;
    OK(etclite_session_open(db, NULL, &session, &err));
    OK(etclite_mutex_new(session, TEXT("m"), &mutex, &err));
    OK(etclite_mutex_lock(mutex, -1, &err));
    OK(etclite_election_new(session, TEXT("e"), &election, &err));
    OK(etclite_election_campaign(election, TEXT("me"), -1, &err));
    made->handles[KIND_SESSION] = session;
    made->handles[KIND_MUTEX] = mutex;
    made->handles[KIND_ELECTION] = election;
}

static inline void fixture_make(struct fixture *made, const char *directory) {
    memset(made, 0, sizeof *made);
    made->directory = directory;
    etclite_db *db = open_in_memory();
    etclite_result *result = NULL;
    OK(etclite_put(db, TEXT("k"), TEXT("v"), NULL, NULL, &err));
    OK(etclite_get(db, TEXT("k"), 0, &result, &err));
    made->handles[KIND_DB] = db;
    made->handles[KIND_RESULT] = result;
    etclite_scan *scan = NULL;
    OK(etclite_scan_open(db, TEXT("k"), NONE, NULL, &scan, &err));
    made->handles[KIND_SCAN] = scan;
    make_txns(made, db);
    make_watches(made, db);
    etclite_lease_info info;
    OK(etclite_lease_grant(db, 60000, 0, &info, &err));
    made->lease = info.id;
    make_locks(made, db);
    for (int kind = 0; kind < KINDS; kind++) {
        if (made->handles[kind] == NULL) {
            fprintf(stderr, "fixture.h makes no %s\n", kind_names[kind]);
            abort();
        }
    }
}

/* Frees all that is left; what the call under test freed is found out. */
static inline void fixture_drop(const struct fixture *made) {
    for (int kind = KINDS - 1; kind >= 0; kind--) {
        int32_t status = free_handle(kind, made->handles[kind]);
        CHECK(status == ETCLITE_OK || status == ETCLITE_E_MISUSE || status == ETCLITE_E_CLOSED);
    }
    etclite_txn_free(made->nested);
}

/* Memory for a function to read or write, larger than any struct or buffer that is passed. */
#define SCRATCH 8192
/* How much of it a function is told to be there: bytes, numbers. */
#define BUFFER_ROOM 64
#define ARRAY_ROOM 4

/* The key "k" as etcd's RangeRequest, which is its WatchCreateRequest too, and in a request of etclite_call_batch. */
#define KEY_REQUEST "\x0a\x01k"
#define BATCH_REQUEST "\x01\0\0\0\x03\0\0\0\x0a\x01k\0\0\0\0\0"

static inline int is_named(const struct parameter *parameter, const char *name) {
    return strcmp(parameter->name, name) == 0;
}

static inline void good_bytes(const struct function *function, const struct parameter *parameter, const char *directory,
                              char *scratch, union argument *bytes, union argument *len) {
    const char *text = "k";
    size_t count = 1;
    if (is_named(parameter, "end")) {
        count = 0;
    } else if (is_named(parameter, "request")) {
        text = KEY_REQUEST;
        count = sizeof KEY_REQUEST - 1;
    } else if (is_named(parameter, "requests")) {
        text = BATCH_REQUEST;
        count = sizeof BATCH_REQUEST - 1;
    } else if (is_named(parameter, "source") || strcmp(function->name, "etclite_check") == 0) {
        count = (size_t)snprintf(scratch, SCRATCH, "%s/source", directory);
        text = scratch;
    } else if (is_named(parameter, "path") || is_named(parameter, "target")) {
        static int next = 0;
        count = (size_t)snprintf(scratch, SCRATCH, "%s/%d", directory, next++);
        text = scratch;
    }
    memmove(scratch, text, count);
    bytes->pointer = scratch;
    len->number = count;
}

static inline uint64_t good_number(const struct function *function, const struct parameter *parameter,
                                   const struct fixture *made) {
    if (is_named(parameter, "ttl_ms")) {
        return 60000;
    }
    if (strcmp(function->name, "etclite_lease_grant") != 0 && (is_named(parameter, "id") || is_named(parameter, "lease"))) {
        return (uint64_t)made->lease;
    }
    if (strcmp(function->name, "etclite_compact") == 0 && is_named(parameter, "revision")) {
        return 2;
    }
    if (strcmp(function->name, "etclite_call") == 0 && is_named(parameter, "op")) {
        return 1;
    }
    if (strcmp(function->name, "etclite_txn_if_range") == 0 && is_named(parameter, "target")) {
        return ETCLITE_TARGET_VALUE;
    }
    if (strncmp(function->name, "etclite_member_", 15) == 0 || strcmp(function->name, "etclite_move_leader") == 0) {
        return is_named(parameter, "flags") ? 0 : 1;
    }
    if (strcmp(function->name, "etclite_txn_op_txn") == 0 && is_named(parameter, "index")) {
        return 1;
    }
    return 0;
}

/* A store that was copied there by etclite_backup, for the functions that read one: restore and check. */
static inline void make_source(const char *directory) {
    char path[4096];
    etclite_db *db = open_in_memory();
    OK(etclite_put(db, TEXT("k"), TEXT("v"), NULL, NULL, &err));
    OK(etclite_backup(db, TEXT(path_in(path, sizeof path, directory, "source")), 0, &err));
    OK(etclite_close(db, &err));
}

/* Arguments with which the function succeeds. Memory that it may write to is filled with 0xa5. */
static inline void good_arguments(const struct function *function, const struct fixture *made,
                                  char scratch[][SCRATCH], union argument *arguments) {
    for (int i = 0; i < function->count; i++) {
        const struct parameter *parameter = &function->parameters[i];
        memset(scratch[i], 0xa5, SCRATCH);
        arguments[i].pointer = scratch[i];
        switch (parameter->what) {
        case IS_HANDLE:
            arguments[i].pointer = i > 0 && parameter->kind == KIND_TXN ? made->nested : made->handles[parameter->kind];
            break;
        case IS_BYTES:
            good_bytes(function, parameter, made->directory, scratch[i], &arguments[i], &arguments[i + 1]);
            i++;
            break;
        case IS_BUFFER:
            arguments[++i].number = BUFFER_ROOM;
            break;
        case IS_ARRAY:
            arguments[++i].number = ARRAY_ROOM;
            break;
        case IS_OPTIONS:
            memset(scratch[i], 0, SCRATCH);
            memcpy(scratch[i], &parameter->size, sizeof(size_t));
            break;
        case IS_INFO:
            memcpy(scratch[i], &parameter->size, sizeof(size_t));
            break;
        case IS_NUMBER:
            arguments[i].number = good_number(function, parameter, made);
            break;
        case IS_CALLBACK:
        case IS_CONTEXT:
            arguments[i].pointer = NULL;
            break;
        default:
            break;
        }
    }
    /* What etclite_buf_free is given. */
    if (strcmp(function->name, "etclite_buf_free") == 0) {
        memset(scratch[0], 0, SCRATCH);
    }
}

#endif
