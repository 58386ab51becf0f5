/*
 * No handle is left. What makes one answers FULL, or INDETERMINATE if it had written something by then; nothing is lost:
 * what could not be handed out comes as soon as there is room again, and what was opened on the way is closed again.
 */

#include "fixture.h"

#define HANDLES_MAX (1 << 20)

static etclite_txn *filler[HANDLES_MAX];
static long filled;

/* Takes the handles that are left. */
static void fill(void) {
    int32_t status = ETCLITE_OK;
    while (status == ETCLITE_OK) {
        CHECK(filled < HANDLES_MAX);
        status = etclite_txn_new(&filler[filled], &err);
        filled += status == ETCLITE_OK;
    }
    STATUS(ETCLITE_E_FULL, status);
    CHECK(err.detail == HANDLES_MAX && filler[filled] == NULL);
}

/* Gives some back. */
static void make_room(int count) {
    for (int i = 0; i < count; i++) {
        OK(etclite_txn_free(filler[--filled]));
    }
}

/* The call is refused for want of a handle, and does well as soon as there is one. */
#define FULL_THEN_OK(call)                                                                                             \
    do {                                                                                                               \
        STATUS(ETCLITE_E_FULL, call);                                                                                  \
        CHECK(err.detail == HANDLES_MAX);                                                                              \
        STATUS(ETCLITE_E_FULL, call);                                                                                  \
        make_room(1);                                                                                                  \
        OK(call);                                                                                                      \
    } while (0)

/* Whether the function hands out a handle, or bytes, for which it needs one. */
static int makes_a_handle(const struct function *function) {
    for (int i = 0; i < function->count; i++) {
        enum what what = function->parameters[i].what;
        if (what == IS_HANDLE_OUT || what == IS_BORROWED_OUT ||
            (what == IS_BUF_OUT && strcmp(function->name, "etclite_buf_free") != 0)) {
            return 1;
        }
    }
    return 0;
}

/* Those of a group of stores, which this build leaves out. */
static int is_left_out(const struct function *function) {
    return strncmp(function->name, "etclite_member_", 15) == 0 || strcmp(function->name, "etclite_cluster_open") == 0;
}

/* Those that have written something before they need a handle. The txn that the fixture commits does nothing. */
static int writes(const struct function *function) {
    return strcmp(function->name, "etclite_put") == 0 || strcmp(function->name, "etclite_delete") == 0;
}

/* No room for the reply, so that it needs a buffer. */
static void take_room_away(const struct function *function, union argument *arguments) {
    for (int i = 0; i < function->count; i++) {
        if (function->parameters[i].what == IS_BUFFER) {
            arguments[i + 1].number = 0;
        }
    }
}

static void free_output(const struct parameter *parameter, void *output) {
    void *handle;
    memcpy(&handle, output, sizeof handle);
    if (parameter->what == IS_HANDLE_OUT) {
        CHECK(handle != NULL && free_handle(parameter->kind, handle) == ETCLITE_OK);
    } else if (parameter->what == IS_BUF_OUT) {
        etclite_buf *bytes = output;
        CHECK(bytes->token != 0 && bytes->len > 0 && etclite_buf_free(bytes) == ETCLITE_OK);
    }
}

/* Every function of the header that makes a handle, with the arguments with which it does well if there is room. */
static void try_function(const struct function *function, const char *directory) {
    static char scratch[PARAMETERS_MAX][SCRATCH];
    union argument arguments[PARAMETERS_MAX];
    struct fixture made;
    /* What the handles of a fixture took before. */
    make_room(KINDS + 2);
    fixture_make(&made, directory);
    fill();
    good_arguments(function, &made, scratch, arguments);
    take_room_away(function, arguments);
    arguments[function->count - 1].pointer = &err;
    int32_t expected = writes(function) ? ETCLITE_E_INDETERMINATE : ETCLITE_E_FULL;
    check_status(expected, function->call(arguments), &err, __FILE__, __LINE__, function->name);
    for (int i = 0; i < function->count; i++) {
        enum what what = function->parameters[i].what;
        if (what == IS_HANDLE_OUT || what == IS_BORROWED_OUT || what == IS_BUF_OUT) {
            void *handle;
            memcpy(&handle, scratch[i], sizeof handle);
            CHECK(handle == NULL);
        }
    }
    /* The same once more, with room: so nothing was left behind, such as the lock of a store that was opened. */
    make_room(1);
    check_status(ETCLITE_OK, function->call(arguments), &err, __FILE__, __LINE__, function->name);
    for (int i = 0; i < function->count; i++) {
        free_output(&function->parameters[i], scratch[i]);
    }
    fixture_drop(&made);
    fill();
}

static void each_function_says_so(const char *directory) {
    int tried = 0;
    for (int i = 0; i < function_count; i++) {
        if (makes_a_handle(&functions[i]) && !is_left_out(&functions[i])) {
            try_function(&functions[i], directory);
            tried++;
        }
    }
    printf("%d functions\n", tried);
    CHECK(tried >= 20);
}

static void put(etclite_db *db, const char *key, const char *value) {
    OK(etclite_put(db, TEXT(key), TEXT(value), NULL, NULL, &err));
}

/* The one key of a result, which is freed. */
static void check_result(etclite_result *result, const char *key, const char *value) {
    const etclite_kv *kvs = NULL;
    size_t count = 0;
    OK(etclite_result_kvs(result, &kvs, &count, &err));
    CHECK(count == 1 && is_text(kvs->key, kvs->key_len, key) && is_text(kvs->value, kvs->value_len, value));
    OK(etclite_result_free(result));
    fill();
}

/* With a full table each revision is refused once, and then told: none is left out, none comes twice. */
static void watches_go_on(etclite_db *db) {
    etclite_watch *watch = NULL;
    etclite_events *events = NULL;
    etclite_watch_options options = {.struct_size = sizeof options, .batch_bytes_max = 1};
    make_room(1);
    OK(etclite_watch_open(db, TEXT("w"), NONE, &options, &watch, &err));
    int64_t before = 0, now = 0;
    OK(etclite_watch_progress(watch, &before, &err));
    for (int i = 0; i < 3; i++) {
        put(db, "w", i == 0 ? "0" : i == 1 ? "1" : "2");
    }
    for (int i = 0; i < 3; i++) {
        const etclite_event *views = NULL;
        size_t count = 0;
        FULL_THEN_OK(etclite_watch_next(watch, 0, &events, &err));
        OK(etclite_events_get(events, &views, &count, &err));
        CHECK(count == 1 && views->kv.version == i + 1 && views->kv.mod_revision == before + i + 1);
        OK(etclite_events_free(events));
        fill();
    }
    STATUS(ETCLITE_TIMEOUT, etclite_watch_next(watch, 0, &events, &err));
    OK(etclite_watch_progress(watch, &now, &err));
    CHECK(now >= before + 3);
    OK(etclite_watch_free(watch));
    fill();
}

/* What could not be told is not passed in the watch's own progress either. */
static void progress_does_not_pass_what_was_refused(etclite_db *db) {
    etclite_watch *watch = NULL;
    etclite_events *events = NULL;
    int64_t before = 0, now = 0;
    make_room(1);
    OK(etclite_watch_open(db, TEXT("w"), NONE, NULL, &watch, &err));
    OK(etclite_watch_progress(watch, &before, &err));
    put(db, "w", "news");
    STATUS(ETCLITE_E_FULL, etclite_watch_next(watch, 0, &events, &err));
    OK(etclite_watch_progress(watch, &now, &err));
    CHECK(now == before);
    OK(etclite_watch_free(watch));
    fill();
}

/* The raw reader gives the same events again, to a caller with room in memory as well. */
static void raw_watches_go_on(etclite_db *db) {
    etclite_watch *watch = NULL;
    etclite_buf spill;
    uint8_t out[256];
    size_t len = 0;
    make_room(1);
    OK(etclite_watch_create_raw(db, (const uint8_t *)KEY_REQUEST, sizeof KEY_REQUEST - 1, &watch, &err));
    put(db, "k", "raw value");
    STATUS(ETCLITE_E_FULL, etclite_watch_next_raw(watch, 0, NULL, 0, &len, &spill, &err));
    CHECK(spill.token == 0 && spill.data == NULL && spill.len == 0);
    /* Needs no handle. */
    OK(etclite_watch_next_raw(watch, 0, out, sizeof out, &len, &spill, &err));
    CHECK(spill.token == 0 && len > 9);
    int told = 0;
    for (size_t i = 0; i + 9 <= len; i++) {
        told += memcmp(out + i, "raw value", 9) == 0;
    }
    CHECK(told == 1);
    STATUS(ETCLITE_TIMEOUT, etclite_watch_next_raw(watch, 0, out, sizeof out, &len, &spill, &err));
    OK(etclite_watch_free(watch));
    fill();
}

static void scans_go_on(etclite_db *db) {
    static const char *const keys[] = {"s/1", "s/2", "s/3"};
    etclite_range_options options = {.struct_size = sizeof options, .flags = ETCLITE_RANGE_PREFIX};
    etclite_scan *scan = NULL;
    etclite_result *result = NULL;
    for (int i = 0; i < 3; i++) {
        put(db, keys[i], keys[i]);
    }
    make_room(1);
    OK(etclite_scan_open(db, TEXT("s/"), NONE, &options, &scan, &err));
    for (int i = 0; i < 3; i++) {
        FULL_THEN_OK(etclite_scan_next(scan, 1, 0, &result, &err));
        check_result(result, keys[i], keys[i]);
    }
    STATUS(ETCLITE_END, etclite_scan_next(scan, 1, 0, &result, &err));
    OK(etclite_scan_free(scan));
    fill();
}

/* A txn that was committed tells each answer, in any order, however often there was no room for it. */
static void answers_of_a_txn_stay(etclite_db *db) {
    etclite_txn *txn = NULL, *nested = NULL;
    etclite_txn_result *answer = NULL;
    const etclite_txn_result *inner = NULL;
    const etclite_result *op = NULL, *again = NULL;
    int32_t succeeded = 0;
    put(db, "a", "1");
    make_room(3);
    OK(etclite_txn_new(&txn, &err));
    OK(etclite_txn_new(&nested, &err));
    OK(etclite_txn_get(txn, TEXT("a"), &err));
    OK(etclite_txn_get(nested, TEXT("a"), &err));
    OK(etclite_txn_nested(txn, nested, &err));
    OK(etclite_txn_commit(db, txn, &succeeded, &answer, &err));
    fill();
    FULL_THEN_OK(etclite_txn_op_txn(answer, 1, &inner, &err));
    FULL_THEN_OK(etclite_txn_op(inner, 0, &op, &err));
    FULL_THEN_OK(etclite_txn_op(answer, 0, &again, &err));
    const etclite_result *both[] = {op, again};
    for (int i = 0; i < 2; i++) {
        const etclite_kv *kvs = NULL;
        size_t count = 0;
        OK(etclite_result_kvs(both[i], &kvs, &count, &err));
        CHECK(count == 1 && is_text(kvs->value, kvs->value_len, "1"));
    }
    /* It has its handle by now. */
    const etclite_result *third = NULL;
    OK(etclite_txn_op(answer, 0, &third, &err));
    CHECK(third == again);
    OK(etclite_txn_result_free(answer));
    OK(etclite_txn_free(txn));
    fill();
}

/* Proposals that could not be handed out are observed afterwards, each once, in their order. */
static void observers_miss_nothing(etclite_db *db) {
    etclite_session *session = NULL;
    etclite_election *leads = NULL, *observes = NULL;
    etclite_result *result = NULL;
    const char *const proposals[] = {"first", "second", "third"};
    make_room(3);
    OK(etclite_session_open(db, NULL, &session, &err));
    OK(etclite_election_new(session, TEXT("e"), &leads, &err));
    OK(etclite_election_new(session, TEXT("e"), &observes, &err));
    for (int i = 0; i < 3; i++) {
        if (i == 0) {
            OK(etclite_election_campaign(leads, TEXT(proposals[i]), -1, &err));
        } else {
            OK(etclite_election_proclaim(leads, TEXT(proposals[i]), &err));
        }
        FULL_THEN_OK(etclite_election_observe(observes, 0, &result, &err));
        const etclite_kv *kvs = NULL;
        size_t count = 0;
        OK(etclite_result_kvs(result, &kvs, &count, &err));
        CHECK(count == 1 && is_text(kvs->value, kvs->value_len, proposals[i]));
        OK(etclite_result_free(result));
        fill();
    }
    STATUS(ETCLITE_TIMEOUT, etclite_election_observe(observes, 0, &result, &err));
    FULL_THEN_OK(etclite_election_leader(observes, &result, &err));
    OK(etclite_result_free(result));
    OK(etclite_election_free(leads));
    OK(etclite_election_free(observes));
    OK(etclite_session_close(session, 1, &err));
    fill();
}

static void check_value(etclite_db *db, const char *key, const char *value) {
    etclite_result *result = NULL;
    make_room(1);
    OK(etclite_get(db, TEXT(key), 0, &result, &err));
    check_result(result, key, value);
}

/* INDETERMINATE tells the truth: the write took effect. Without a place for the answer no handle is needed. */
static void writes_took_effect(etclite_db *db) {
    etclite_result *result = NULL;
    etclite_txn *txn = filler[0];
    etclite_txn_result *answer = NULL;
    int64_t deleted = -1;
    int32_t succeeded = -1;
    STATUS(ETCLITE_E_INDETERMINATE, etclite_put(db, TEXT("p"), TEXT("1"), NULL, &result, &err));
    CHECK(result == NULL);
    check_value(db, "p", "1");
    put(db, "p", "2");
    check_value(db, "p", "2");

    OK(etclite_txn_put(txn, TEXT("p"), TEXT("3"), NULL, &err));
    STATUS(ETCLITE_E_INDETERMINATE, etclite_txn_commit(db, txn, &succeeded, &answer, &err));
    CHECK(answer == NULL && succeeded == -1);
    check_value(db, "p", "3");
    OK(etclite_txn_commit(db, txn, &succeeded, NULL, &err));
    CHECK(succeeded == 1);
    OK(etclite_txn_reset(txn, &err));

    STATUS(ETCLITE_E_INDETERMINATE, etclite_delete(db, TEXT("p"), NONE, 0, &deleted, &result, &err));
    CHECK(result == NULL && deleted == -1);
    OK(etclite_delete(db, TEXT("p"), NONE, 0, &deleted, NULL, &err));
    CHECK(deleted == 0);
    /* By now there is nothing to delete, and so nothing was done. */
    STATUS(ETCLITE_E_FULL, etclite_delete(db, TEXT("p"), NONE, 0, &deleted, &result, &err));
}

/* etcdserverpb.PutRequest with the key "k" and the value "v", and the same in a batch. */
#define PUT_REQUEST "\x0a\x01k\x12\x01v"
#define BATCH_OF_PUT "\x02\0\0\0\x06\0\0\0\x0a\x01k\x12\x01v\0\0"

static int64_t revision_of(etclite_db *db) {
    int64_t revision = 0, compacted = 0;
    OK(etclite_revision(db, &revision, &compacted, &err));
    return revision;
}

/* Requests in bytes: one that writes says INDETERMINATE, one that reads FULL; replies that fit need no handle. */
static void replies_need_room(etclite_db *db) {
    uint8_t out[512];
    size_t len = 0;
    etclite_buf spill;
    const uint8_t *request = (const uint8_t *)PUT_REQUEST, *batch = (const uint8_t *)BATCH_OF_PUT;
    int64_t before = revision_of(db);
    STATUS(ETCLITE_E_INDETERMINATE,
           etclite_call(db, 2, request, sizeof PUT_REQUEST - 1, NULL, 0, &len, &spill, &err));
    STATUS(ETCLITE_E_INDETERMINATE,
           etclite_call_batch(db, batch, sizeof BATCH_OF_PUT - 1, NULL, 0, &len, &spill, &err));
    CHECK(spill.token == 0 && revision_of(db) == before + 2);
    OK(etclite_call(db, 2, request, sizeof PUT_REQUEST - 1, out, sizeof out, &len, &spill, &err));
    OK(etclite_call_batch(db, batch, sizeof BATCH_OF_PUT - 1, out, sizeof out, &len, &spill, &err));
    CHECK(spill.token == 0 && len > 8 && revision_of(db) == before + 4);
    /* Range, LeaseLeases, Status, HashKV: of the empty message but for the first. */
    static const uint32_t reading[] = {1, 14, 20, 21};
    for (int i = 0; i < 4; i++) {
        size_t request_len = i == 0 ? sizeof KEY_REQUEST - 1 : 0;
        before = revision_of(db);
        FULL_THEN_OK(etclite_call(db, reading[i], (const uint8_t *)KEY_REQUEST, request_len, NULL, 0, &len, &spill, &err));
        CHECK(len == 0 && revision_of(db) == before);
        OK(etclite_buf_free(&spill));
        fill();
    }
}

/* What is opened on the way is closed again: leases of sessions, watches, pollers' descriptors, locks of directories. */
static void nothing_is_left_open(etclite_db *db, const char *directory) {
    char path[4096];
    etclite_status_info before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
    etclite_session *session = NULL;
    etclite_watch *watch = NULL;
    etclite_poller *poller = NULL;
    etclite_db *other = NULL;
    OK(etclite_status(db, &before, &err));
    path_in(path, sizeof path, directory, "other");
    /* More than a process may have descriptors, if each were left. */
    for (int i = 0; i < 1100; i++) {
        STATUS(ETCLITE_E_FULL, etclite_watch_open(db, TEXT("k"), NONE, NULL, &watch, &err));
        STATUS(ETCLITE_E_FULL, etclite_poller_new(db, &poller, &err));
    }
    for (int i = 0; i < 5; i++) {
        STATUS(ETCLITE_E_FULL, etclite_session_open(db, NULL, &session, &err));
        STATUS(ETCLITE_E_FULL, etclite_open(TEXT(path), NULL, &other, &err));
    }
    OK(etclite_status(db, &after, &err));
    CHECK(after.leases == before.leases && after.watches == before.watches && after.keys == before.keys);
    make_room(1);
    OK(etclite_open(TEXT(path), NULL, &other, &err));
    OK(etclite_close(other, &err));
    fill();
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    make_source(argv[1]);
    etclite_db *db = open_in_memory();
    fill();
    each_function_says_so(argv[1]);
    watches_go_on(db);
    progress_does_not_pass_what_was_refused(db);
    raw_watches_go_on(db);
    scans_go_on(db);
    answers_of_a_txn_stay(db);
    observers_miss_nothing(db);
    writes_took_effect(db);
    replies_need_room(db);
    nothing_is_left_open(db, argv[1]);
    /* All of it can be given back, and taken again. */
    make_room((int)filled);
    fill();
    CHECK(filled == HANDLES_MAX - 1);
    make_room((int)filled);
    OK(etclite_close(db, &err));
    return 0;
}
