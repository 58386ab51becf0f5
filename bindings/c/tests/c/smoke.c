/*
 * The manual: everything that the library does, in the order in which one meets it. Each function below is a chapter
 * and can be read by itself; what stands in it is checked by running it, in C99 to C17 and C++98 to C++20.
 *
 * CHECK, OK and STATUS are from check.h: OK(call) demands that the call returns ETCLITE_OK. TEXT("k") passes a text as
 * two arguments, pointer and length; NONE passes no bytes. The program takes an empty directory.
 */

#include "check.h"

/* What a call has to say if it fails. 256 bytes, reused by all calls of a thread, nothing to free. */
static etclite_error err;

/* A store is a directory. It belongs to one process at a time, and within it to one handle, which threads share. */
static void opening(const char *path) {
    etclite_db *db = NULL;
    etclite_db *second = NULL;
    etclite_open_options options;

    /* Without options it is created if it is not there, and every write is on the disk when it returns. */
    OK(etclite_open(TEXT(path), NULL, &db, &err));

    /* Who comes second is told so at once, or waits as long as lock_wait_ms says. */
    STATUS(ETCLITE_E_LOCKED, etclite_open(TEXT(path), NULL, &second, &err));
    CHECK(second == NULL && err.code == ETCLITE_E_LOCKED && err.detail > 0 && err.message[0] != '\0');

    OK(etclite_close(db, &err));
    /* A handle is a token, and never good again: this is found out, and so is everything else of the kind. */
    STATUS(ETCLITE_E_MISUSE, etclite_close(db, &err));

    /* Zero in all fields is the default of each; the size tells the library which release's struct it is. */
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.flags = ETCLITE_OPEN_NO_CREATE;
    options.durability = ETCLITE_DURABILITY_WRITTEN;
    OK(etclite_open(TEXT(path), &options, &db, &err));
    OK(etclite_put(db, TEXT("k"), TEXT("v"), NULL, NULL, &err));
    /* A relaxed store syncs every 50 ms by itself, and when it is told to. */
    OK(etclite_sync(db, &err));
    OK(etclite_close(db, &err));

    options.flags = ETCLITE_OPEN_READ_ONLY;
    options.durability = ETCLITE_DURABILITY_SYNCED;
    OK(etclite_open(TEXT(path), &options, &db, &err));
    STATUS(ETCLITE_E_READ_ONLY, etclite_put(db, TEXT("k"), TEXT("w"), NULL, NULL, &err));
    OK(etclite_close(db, &err));

    /* Closing no store is fine, as freeing nothing is. */
    OK(etclite_close(NULL, &err));
    OK(etclite_result_free(NULL));
}

/* A store that lives in memory, for the chapters that follow. */
static etclite_db *open_in_memory(void) {
    etclite_db *db = NULL;
    etclite_open_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.flags = ETCLITE_OPEN_IN_MEMORY;
    OK(etclite_open(NONE, &options, &db, &err));
    return db;
}

/* The store's revision. */
static int64_t revision_of(const etclite_db *db) {
    int64_t revision = 0;
    int64_t compacted = 0;
    OK(etclite_revision(db, &revision, &compacted, &err));
    return revision;
}

/* Every write has a revision, one above the one before. What was is readable at the revision at which it was. */
static void putting_and_getting(void) {
    etclite_db *db = open_in_memory();
    etclite_result *result = NULL;
    const etclite_kv *kvs = NULL;
    size_t count = 0;
    etclite_header header;
    int64_t first;

    OK(etclite_put(db, TEXT("color"), TEXT("red"), NULL, NULL, &err));
    first = revision_of(db);
    /* The result of a put can be left out, as above, or tells the revision. */
    OK(etclite_put(db, TEXT("color"), TEXT("blue"), NULL, &result, &err));
    OK(etclite_result_header(result, &header, &err));
    CHECK(header.revision == first + 1 && header.cluster_id != 0);
    OK(etclite_result_free(result));

    OK(etclite_get(db, TEXT("color"), 0, &result, &err));
    OK(etclite_result_kvs(result, &kvs, &count, &err));
    CHECK(count == 1 && is_text(kvs->key, kvs->key_len, "color") && is_text(kvs->value, kvs->value_len, "blue"));
    CHECK(kvs->create_revision == first && kvs->mod_revision == first + 1 && kvs->version == 2 && kvs->lease == 0);
    /* kvs points into the result, and is valid until this: */
    OK(etclite_result_free(result));

    OK(etclite_get(db, TEXT("color"), first, &result, &err));
    OK(etclite_result_kvs(result, &kvs, &count, &err));
    CHECK(count == 1 && is_text(kvs->value, kvs->value_len, "red"));
    OK(etclite_result_free(result));

    /* A key that is not there is no error, and gives no result. */
    STATUS(ETCLITE_NOT_FOUND, etclite_get(db, TEXT("colour"), 0, &result, &err));
    CHECK(result == NULL);
    STATUS(ETCLITE_E_FUTURE_REVISION, etclite_get(db, TEXT("color"), first + 100, &result, &err));
    CHECK(err.detail == first + 1);
    STATUS(ETCLITE_E_EMPTY_KEY, etclite_put(db, NONE, TEXT("v"), NULL, NULL, &err));

    /* Keys and values are bytes: any bytes, and values may be none at all. */
    OK(etclite_put(db, (const uint8_t *)"a\0b", 3, NONE, NULL, NULL, &err));
    OK(etclite_get(db, (const uint8_t *)"a\0b", 3, 0, &result, &err));
    OK(etclite_result_kvs(result, &kvs, &count, &err));
    CHECK(count == 1 && kvs->key_len == 3 && kvs->value_len == 0);
    OK(etclite_result_free(result));
    OK(etclite_close(db, &err));
}

/* What a put can do besides. */
static void put_options(void) {
    etclite_db *db = open_in_memory();
    etclite_result *result = NULL;
    const etclite_kv *prev = NULL;
    etclite_put_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;

    options.flags = ETCLITE_PUT_PREV_KV;
    OK(etclite_put(db, TEXT("k"), TEXT("1"), &options, &result, &err));
    OK(etclite_result_prev(result, &prev, &err));
    CHECK(prev == NULL);
    OK(etclite_result_free(result));
    OK(etclite_put(db, TEXT("k"), TEXT("2"), &options, &result, &err));
    OK(etclite_result_prev(result, &prev, &err));
    CHECK(prev != NULL && is_text(prev->value, prev->value_len, "1"));
    OK(etclite_result_free(result));

    options.flags = ETCLITE_PUT_IGNORE_VALUE;
    OK(etclite_put(db, TEXT("k"), NONE, &options, NULL, &err));
    STATUS(ETCLITE_E_VALUE_PROVIDED, etclite_put(db, TEXT("k"), TEXT("v"), &options, NULL, &err));
    STATUS(ETCLITE_E_KEY_NOT_FOUND, etclite_put(db, TEXT("no such key"), NONE, &options, NULL, &err));
    options.flags = ETCLITE_PUT_IGNORE_LEASE;
    options.lease = 7;
    STATUS(ETCLITE_E_LEASE_PROVIDED, etclite_put(db, TEXT("k"), TEXT("v"), &options, NULL, &err));
    options.flags = 0;
    STATUS(ETCLITE_E_LEASE_NOT_FOUND, etclite_put(db, TEXT("k"), TEXT("v"), &options, NULL, &err));
    OK(etclite_close(db, &err));
}

/* Five keys: a/1 to a/5, in the order 3 1 5 2 4. */
static void put_five(etclite_db *db) {
    static const char *const keys[] = {"a/3", "a/1", "a/5", "a/2", "a/4"};
    size_t i;
    for (i = 0; i < 5; i++) {
        OK(etclite_put(db, TEXT(keys[i]), TEXT(keys[i] + 2), NULL, NULL, &err));
    }
}

/* The keys of a result, as one text. */
static const char *keys_of(etclite_result *result) {
    static char text[256];
    const etclite_kv *kvs = NULL;
    size_t count = 0;
    size_t i;
    OK(etclite_result_kvs(result, &kvs, &count, &err));
    text[0] = '\0';
    for (i = 0; i < count; i++) {
        strncat(text, (const char *)kvs[i].key, kvs[i].key_len);
        strcat(text, " ");
    }
    return text;
}

/* Ranges are half open, [key, end); flags name the usual ones. */
static void ranges(void) {
    etclite_db *db = open_in_memory();
    etclite_result *result = NULL;
    etclite_range_options options;
    int64_t count = 0;
    int32_t more = 0;
    uint8_t end[8];
    size_t end_len = 0;
    put_five(db);
    OK(etclite_put(db, TEXT("b"), TEXT("x"), NULL, NULL, &err));

    OK(etclite_range(db, TEXT("a/2"), TEXT("a/4"), NULL, &result, &err));
    CHECK(strcmp(keys_of(result), "a/2 a/3 ") == 0);
    OK(etclite_result_free(result));

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.flags = ETCLITE_RANGE_PREFIX;
    options.sort_by = ETCLITE_SORT_MOD;
    options.sort_order = ETCLITE_ORDER_DESCEND;
    options.limit = 3;
    OK(etclite_range(db, TEXT("a/"), NONE, &options, &result, &err));
    CHECK(strcmp(keys_of(result), "a/4 a/2 a/5 ") == 0);
    OK(etclite_result_count(result, &count, &err));
    OK(etclite_result_more(result, &more, &err));
    CHECK(count == 5 && more == 1);
    OK(etclite_result_free(result));

    options.flags = ETCLITE_RANGE_FROM_KEY | ETCLITE_RANGE_KEYS_ONLY;
    options.sort_by = ETCLITE_SORT_KEY;
    options.sort_order = ETCLITE_ORDER_NONE;
    options.limit = 0;
    OK(etclite_range(db, TEXT("a/5"), NONE, &options, &result, &err));
    CHECK(strcmp(keys_of(result), "a/5 b ") == 0);
    OK(etclite_result_free(result));

    options.flags = ETCLITE_RANGE_PREFIX | ETCLITE_RANGE_COUNT_ONLY;
    OK(etclite_range(db, NONE, NONE, &options, &result, &err));
    OK(etclite_result_count(result, &count, &err));
    CHECK(count == 6 && strcmp(keys_of(result), "") == 0);
    OK(etclite_result_free(result));

    /* A range without keys is a result without keys. */
    OK(etclite_range(db, TEXT("c"), TEXT("d"), NULL, &result, &err));
    CHECK(strcmp(keys_of(result), "") == 0);
    OK(etclite_result_free(result));

    options.sort_by = 99;
    STATUS(ETCLITE_E_INVALID_SORT, etclite_range(db, TEXT("a"), NONE, &options, &result, &err));
    options.sort_by = 0;
    options.flags = 1u << 31;
    STATUS(ETCLITE_E_INVALID_ARGUMENT, etclite_range(db, TEXT("a"), NONE, &options, &result, &err));
    CHECK(result == NULL);

    OK(etclite_prefix_end(TEXT("a/"), end, sizeof end, &end_len, &err));
    CHECK(is_text(end, end_len, "a0"));
    OK(etclite_close(db, &err));
}

/* Deletes take a revision if there was something to delete. Compaction drops history, never the present. */
static void deleting_and_compacting(void) {
    etclite_db *db = open_in_memory();
    etclite_result *prev = NULL;
    int64_t deleted = -1;
    int64_t before;
    put_five(db);
    before = revision_of(db);

    OK(etclite_delete(db, TEXT("a/9"), NONE, 0, &deleted, NULL, &err));
    CHECK(deleted == 0 && revision_of(db) == before);
    OK(etclite_delete(db, TEXT("a/1"), NONE, 0, &deleted, NULL, &err));
    CHECK(deleted == 1 && revision_of(db) == before + 1);
    OK(etclite_delete(db, TEXT("a/"), NONE, ETCLITE_RANGE_PREFIX | ETCLITE_DELETE_PREV_KV, &deleted, &prev, &err));
    CHECK(deleted == 4 && revision_of(db) == before + 2 && strcmp(keys_of(prev), "a/2 a/3 a/4 a/5 ") == 0);
    OK(etclite_result_free(prev));

    OK(etclite_compact(db, before + 1, ETCLITE_COMPACT_PHYSICAL, &err));
    OK(etclite_get(db, TEXT("a/2"), before + 1, &prev, &err));
    OK(etclite_result_free(prev));
    STATUS(ETCLITE_E_COMPACTED, etclite_get(db, TEXT("a/2"), before, &prev, &err));
    CHECK(err.detail == before + 1);
    STATUS(ETCLITE_E_COMPACTED, etclite_compact(db, before, 0, &err));
    OK(etclite_close(db, &err));
}

/* Large ranges are walked in pieces, all as of the revision at which the scan was opened. */
static void scanning(void) {
    etclite_db *db = open_in_memory();
    etclite_scan *scan = NULL;
    etclite_result *result = NULL;
    etclite_range_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.flags = ETCLITE_RANGE_PREFIX;
    put_five(db);
    OK(etclite_scan_open(db, TEXT("a/"), NONE, &options, &scan, &err));
    OK(etclite_delete(db, TEXT("a/2"), NONE, 0, NULL, NULL, &err));
    OK(etclite_scan_next(scan, 3, 0, &result, &err));
    CHECK(strcmp(keys_of(result), "a/1 a/2 a/3 ") == 0);
    OK(etclite_result_free(result));
    OK(etclite_scan_next(scan, 3, 0, &result, &err));
    CHECK(strcmp(keys_of(result), "a/4 a/5 ") == 0);
    OK(etclite_result_free(result));
    STATUS(ETCLITE_END, etclite_scan_next(scan, 3, 0, &result, &err));
    CHECK(result == NULL);
    OK(etclite_scan_free(scan));
    OK(etclite_close(db, &err));
}

/* A txn compares, then runs one of two lists of operations: all in one revision, or nothing. */
static void txns(void) {
    etclite_db *db = open_in_memory();
    etclite_txn *txn = NULL;
    etclite_txn_result *answer = NULL;
    const etclite_result *read = NULL;
    etclite_header header;
    const etclite_kv *kvs = NULL;
    size_t count = 0;
    int32_t succeeded = -1;

    /* If there is no key "lock", put two keys; else read it. */
    OK(etclite_txn_new(&txn, &err));
    OK(etclite_txn_if_int(txn, TEXT("lock"), ETCLITE_TARGET_VERSION, ETCLITE_COMPARE_EQUAL, 0, &err));
    OK(etclite_txn_put(txn, TEXT("lock"), TEXT("me"), NULL, &err));
    OK(etclite_txn_put(txn, TEXT("since"), TEXT("today"), NULL, &err));
    OK(etclite_txn_else(txn, &err));
    OK(etclite_txn_range(txn, TEXT("lock"), NONE, NULL, &err));

    OK(etclite_txn_commit(db, txn, &succeeded, &answer, &err));
    CHECK(succeeded == 1 && revision_of(db) == 2);
    OK(etclite_txn_result_header(answer, &header, &err));
    CHECK(header.revision == 2);
    OK(etclite_txn_result_free(answer));

    /* A txn can be committed again. A comparison that does not hold is a normal answer. */
    OK(etclite_txn_commit(db, txn, &succeeded, &answer, &err));
    CHECK(succeeded == 0);
    OK(etclite_txn_op_count(answer, &count, &err));
    CHECK(count == 1);
    /* What an operation answered belongs to the txn's answer, and is freed with it. */
    OK(etclite_txn_op(answer, 0, &read, &err));
    OK(etclite_result_kvs(read, &kvs, &count, &err));
    CHECK(count == 1 && is_text(kvs->value, kvs->value_len, "me"));
    STATUS(ETCLITE_E_INVALID_ARGUMENT, etclite_txn_op(answer, 1, &read, &err));
    CHECK(read == NULL);
    OK(etclite_txn_result_free(answer));

    /* Emptied, it can be built anew. */
    OK(etclite_txn_reset(txn, &err));
    OK(etclite_txn_if_value(txn, TEXT("lock"), ETCLITE_COMPARE_EQUAL, TEXT("me"), &err));
    OK(etclite_txn_delete(txn, TEXT("lock"), NONE, 0, &err));
    OK(etclite_txn_commit(db, txn, &succeeded, NULL, &err));
    CHECK(succeeded == 1);
    OK(etclite_txn_put(txn, TEXT("lock"), TEXT("x"), NULL, &err));
    STATUS(ETCLITE_E_DUPLICATE_KEY, etclite_txn_commit(db, txn, &succeeded, NULL, &err));
    OK(etclite_txn_free(txn));
    OK(etclite_close(db, &err));
}

/* A lease takes the keys attached to it along when it ends. Times are milliseconds. */
static void leases(void) {
    etclite_db *db = open_in_memory();
    etclite_lease_info lease;
    etclite_put_options options;
    etclite_result *keys = NULL;
    int64_t ids[4];
    size_t count = 0;

    OK(etclite_lease_grant(db, 60000, 0, &lease, &err));
    CHECK(lease.id != 0 && lease.granted_ms == 60000);
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.lease = lease.id;
    OK(etclite_put(db, TEXT("here"), TEXT("I am"), &options, NULL, &err));
    OK(etclite_lease_keepalive(db, lease.id, &lease, &err));
    OK(etclite_lease_info_get(db, lease.id, &lease, &keys, &err));
    CHECK(lease.remaining_ms > 0 && lease.remaining_ms <= 60000 && strcmp(keys_of(keys), "here ") == 0);
    OK(etclite_result_free(keys));
    OK(etclite_lease_list(db, ids, 4, &count, &err));
    CHECK(count == 1 && ids[0] == lease.id);
    STATUS(ETCLITE_E_LEASE_EXISTS, etclite_lease_grant(db, 60000, lease.id, &lease, &err));

    OK(etclite_lease_revoke(db, lease.id, &err));
    STATUS(ETCLITE_NOT_FOUND, etclite_get(db, TEXT("here"), 0, &keys, &err));
    STATUS(ETCLITE_E_LEASE_NOT_FOUND, etclite_lease_keepalive(db, lease.id, &lease, &err));

    /* One that nobody keeps alive ends by itself; the watch tells when. */
    {
        etclite_watch *watch = NULL;
        etclite_events *events = NULL;
        const etclite_event *event = NULL;
        etclite_watch_options from;
        memset(&from, 0, sizeof from);
        from.struct_size = sizeof from;
        from.flags = ETCLITE_WATCH_NO_PUT;
        OK(etclite_watch_open(db, TEXT("brief"), NONE, &from, &watch, &err));
        OK(etclite_lease_grant(db, 20, 0, &lease, &err));
        options.lease = lease.id;
        OK(etclite_put(db, TEXT("brief"), TEXT("v"), &options, NULL, &err));
        OK(etclite_watch_next(watch, -1, &events, &err));
        OK(etclite_events_get(events, &event, &count, &err));
        CHECK(count == 1 && event->type == ETCLITE_EVENT_DELETE && is_text(event->kv.key, event->kv.key_len, "brief"));
        OK(etclite_events_free(events));
        OK(etclite_watch_free(watch));
    }
    OK(etclite_close(db, &err));
}

/* A watch is a place in history. It sees every change from there on, in order, however late one asks. */
static void watching(void) {
    etclite_db *db = open_in_memory();
    etclite_watch *watch = NULL;
    etclite_events *events = NULL;
    const etclite_event *event = NULL;
    etclite_watch_options options;
    etclite_header header;
    size_t count = 0;
    int64_t progress = 0;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.flags = ETCLITE_RANGE_PREFIX | ETCLITE_WATCH_PREV_KV;
    OK(etclite_watch_open(db, TEXT("a/"), NONE, &options, &watch, &err));
    STATUS(ETCLITE_TIMEOUT, etclite_watch_next(watch, 0, &events, &err));
    CHECK(events == NULL);

    OK(etclite_put(db, TEXT("a/1"), TEXT("x"), NULL, NULL, &err));
    OK(etclite_put(db, TEXT("b/1"), TEXT("x"), NULL, NULL, &err));
    OK(etclite_delete(db, TEXT("a/1"), NONE, 0, NULL, NULL, &err));
    OK(etclite_watch_next(watch, -1, &events, &err));
    OK(etclite_events_get(events, &event, &count, &err));
    OK(etclite_events_header(events, &header, &err));
    CHECK(count == 2 && header.revision == 4);
    CHECK(event[0].type == ETCLITE_EVENT_PUT && (event[0].flags & ETCLITE_EVENT_CREATED) && event[0].prev == NULL);
    CHECK(event[1].type == ETCLITE_EVENT_DELETE && event[1].kv.mod_revision == 4);
    CHECK(event[1].prev != NULL && is_text(event[1].prev->value, event[1].prev->value_len, "x"));
    OK(etclite_events_free(events));
    OK(etclite_watch_progress(watch, &progress, &err));
    CHECK(progress == 4);

    /* Cancelled, from any thread, it says so; it must be freed all the same. */
    OK(etclite_watch_cancel(watch, &err));
    STATUS(ETCLITE_E_WATCH_CANCELED, etclite_watch_next(watch, -1, &events, &err));
    OK(etclite_watch_free(watch));

    /* From a revision in the past: history first, then what comes. */
    options.start_revision = 2;
    options.flags = ETCLITE_RANGE_PREFIX;
    OK(etclite_watch_open(db, TEXT("b/"), NONE, &options, &watch, &err));
    OK(etclite_watch_next(watch, 0, &events, &err));
    OK(etclite_events_get(events, &event, &count, &err));
    CHECK(count == 1 && event->kv.mod_revision == 3);
    OK(etclite_events_free(events));
    OK(etclite_watch_free(watch));
    OK(etclite_close(db, &err));
}

/* Many watches and one descriptor, for an event loop: see examples/watch_poll.c. */
static void polling(void) {
    etclite_db *db = open_in_memory();
    etclite_poller *poller = NULL;
    etclite_watch *watches[2] = {NULL, NULL};
    etclite_events *events = NULL;
    uint64_t cookies[4];
    size_t count = 0;
    int32_t fd = -1;

    OK(etclite_poller_new(db, &poller, &err));
    OK(etclite_poller_fd(poller, &fd, &err));
    CHECK(fd >= 0);
    OK(etclite_watch_open(db, TEXT("one"), NONE, NULL, &watches[0], &err));
    OK(etclite_watch_open(db, TEXT("two"), NONE, NULL, &watches[1], &err));
    OK(etclite_poller_add(poller, watches[0], 100, &err));
    OK(etclite_poller_add(poller, watches[1], 200, &err));
    STATUS(ETCLITE_TIMEOUT, etclite_watch_next(watches[0], 0, &events, &err));
    STATUS(ETCLITE_TIMEOUT, etclite_watch_next(watches[1], 0, &events, &err));
    while (etclite_poller_wait(poller, 0, cookies, 4, &count, &err) == ETCLITE_OK) {
        /* What was ready before: nothing that is left. */
    }

    OK(etclite_put(db, TEXT("two"), TEXT("v"), NULL, NULL, &err));
    OK(etclite_poller_wait(poller, -1, cookies, 4, &count, &err));
    CHECK(count == 1 && cookies[0] == 200);
    /* Read until there is no more: that arms it again. */
    OK(etclite_watch_next(watches[1], 0, &events, &err));
    OK(etclite_events_free(events));
    STATUS(ETCLITE_TIMEOUT, etclite_watch_next(watches[1], 0, &events, &err));

    /* Another thread can end a wait. */
    OK(etclite_poller_wake(poller, &err));
    OK(etclite_poller_wait(poller, -1, cookies, 4, &count, &err));
    CHECK(count == 0);
    OK(etclite_poller_remove(poller, watches[0], &err));
    OK(etclite_watch_free(watches[0]));
    OK(etclite_watch_free(watches[1]));
    OK(etclite_poller_free(poller));
    OK(etclite_close(db, &err));
}

/* Locks and elections belong to a session, which the library keeps alive. Their keys are etcd's. */
static void locking(void) {
    etclite_db *db = open_in_memory();
    etclite_session *sessions[2] = {NULL, NULL};
    etclite_mutex *mine = NULL;
    etclite_mutex *theirs = NULL;
    int64_t first = 0;
    int64_t second = 0;
    int64_t lease = 0;
    int32_t expired = -1;
    const uint8_t *key = NULL;
    size_t key_len = 0;

    OK(etclite_session_open(db, NULL, &sessions[0], &err));
    OK(etclite_session_open(db, NULL, &sessions[1], &err));
    OK(etclite_session_lease(sessions[0], &lease, &err));
    OK(etclite_session_expired(sessions[0], &expired, &err));
    CHECK(lease != 0 && expired == 0);
    OK(etclite_mutex_new(sessions[0], TEXT("/my-lock"), &mine, &err));
    OK(etclite_mutex_new(sessions[1], TEXT("/my-lock"), &theirs, &err));

    OK(etclite_mutex_lock(mine, -1, &err));
    OK(etclite_mutex_key(mine, &key, &key_len, &err));
    CHECK(key_len > 9 && memcmp(key, "/my-lock/", 9) == 0);
    STATUS(ETCLITE_NOT_ACQUIRED, etclite_mutex_try_lock(theirs, &err));
    STATUS(ETCLITE_TIMEOUT, etclite_mutex_lock(theirs, 1, &err));
    OK(etclite_mutex_revision(mine, &first, &err));
    OK(etclite_mutex_unlock(mine, &err));
    STATUS(ETCLITE_E_LOCK_RELEASED, etclite_mutex_unlock(mine, &err));

    /* The revision is a fence: it rises from owner to owner. */
    OK(etclite_mutex_lock(theirs, -1, &err));
    OK(etclite_mutex_revision(theirs, &second, &err));
    CHECK(second > first);

    /* A lock whose session is gone is lost, and says so. */
    OK(etclite_session_lease(sessions[1], &lease, &err));
    OK(etclite_lease_revoke(db, lease, &err));
    OK(etclite_mutex_lock(mine, -1, &err));
    STATUS(ETCLITE_E_SESSION_EXPIRED, etclite_mutex_unlock(theirs, &err));

    /* To free a lock is to unlock it. */
    OK(etclite_mutex_free(mine));
    OK(etclite_mutex_free(theirs));
    OK(etclite_session_close(sessions[0], 1, &err));
    OK(etclite_session_close(sessions[1], 1, &err));
    OK(etclite_close(db, &err));
}

/* Of several candidates one leads, and everybody can follow who it is and what he has to say. */
static void electing(void) {
    etclite_db *db = open_in_memory();
    etclite_session *session = NULL;
    etclite_election *election = NULL;
    etclite_election *observer = NULL;
    etclite_result *leader = NULL;
    const etclite_kv *kvs = NULL;
    size_t count = 0;

    OK(etclite_session_open(db, NULL, &session, &err));
    OK(etclite_election_new(session, TEXT("/boss"), &election, &err));
    OK(etclite_election_new(session, TEXT("/boss"), &observer, &err));
    STATUS(ETCLITE_NOT_FOUND, etclite_election_leader(election, &leader, &err));
    OK(etclite_election_campaign(election, TEXT("ann"), -1, &err));
    OK(etclite_election_leader(election, &leader, &err));
    OK(etclite_result_kvs(leader, &kvs, &count, &err));
    CHECK(count == 1 && is_text(kvs->value, kvs->value_len, "ann"));
    OK(etclite_result_free(leader));
    OK(etclite_election_observe(observer, -1, &leader, &err));
    OK(etclite_result_free(leader));
    OK(etclite_election_proclaim(election, TEXT("ann, still"), &err));
    OK(etclite_election_observe(observer, -1, &leader, &err));
    OK(etclite_result_kvs(leader, &kvs, &count, &err));
    CHECK(count == 1 && is_text(kvs->value, kvs->value_len, "ann, still"));
    OK(etclite_result_free(leader));
    OK(etclite_election_resign(election, &err));
    STATUS(ETCLITE_NOT_FOUND, etclite_election_leader(election, &leader, &err));
    OK(etclite_election_free(election));
    OK(etclite_election_free(observer));
    OK(etclite_session_close(session, 1, &err));
    OK(etclite_close(db, &err));
}

/* Copies of a store that is in use, and what can be found out about one. Bytes of the library's are freed as a buffer. */
static void upkeep(const char *directory) {
    etclite_db *db = open_in_memory();
    etclite_db *restored = NULL;
    etclite_buf buf;
    etclite_buf copy;
    char path[4096];
    char target[4096];
    uint32_t hash = 0;
    uint32_t same = 0;

    put_five(db);
    OK(etclite_stats(db, ETCLITE_STATS_JSON, &buf, &err));
    CHECK(buf.len > 0 && buf.data[0] == '{');
    copy = buf;
    OK(etclite_buf_free(&buf));
    CHECK(buf.data == NULL && buf.token == 0);
    /* An emptied buffer may be freed again; that a copy of it is stale is found out. */
    OK(etclite_buf_free(&buf));
    CHECK(etclite_buf_free(&copy) == ETCLITE_E_MISUSE);

    OK(etclite_hash(db, 0, &hash, NULL, NULL, &err));
    OK(etclite_backup(db, TEXT(path_in(path, sizeof path, directory, "copy")), 0, &err));
    OK(etclite_close(db, &err));
    OK(etclite_check(TEXT(path), 0, &buf, &err));
    CHECK(buf.len > 0);
    OK(etclite_buf_free(&buf));
    OK(etclite_restore(TEXT(path), TEXT(path_in(target, sizeof target, directory, "restored")), NULL, &err));
    OK(etclite_open(TEXT(target), NULL, &restored, &err));
    OK(etclite_hash(restored, 0, &same, NULL, NULL, &err));
    CHECK(hash == same);
    OK(etclite_defrag(restored, &err));
    OK(etclite_close(restored, &err));
}

/* Requests and answers in etcd's own messages, for bindings of other languages. */
static void calls_in_bytes(void) {
    static const uint8_t put[] = {0x0a, 1, 'k', 0x12, 1, 'v'}; /* PutRequest{key: "k", value: "v"} */
    static const uint8_t range[] = {0x0a, 1, 'k'};             /* RangeRequest{key: "k"} */
    etclite_db *db = open_in_memory();
    etclite_buf spill;
    uint8_t out[256];
    size_t len = 0;
    memset(&spill, 0, sizeof spill);
    OK(etclite_call(db, 2, put, sizeof put, out, sizeof out, &len, &spill, &err));
    CHECK(len > 0 && spill.token == 0);
    OK(etclite_call(db, 1, range, sizeof range, out, sizeof out, &len, &spill, &err));
    CHECK(len > 0);
    /* An answer that has no room is in a buffer of the library's. */
    OK(etclite_call(db, 1, range, sizeof range, out, 2, &len, &spill, &err));
    CHECK(len == 0 && spill.len > 2);
    OK(etclite_buf_free(&spill));
    OK(etclite_close(db, &err));
}

/* What the library says of itself. */
static void library(void) {
    CHECK(strcmp(etclite_version(), ETCLITE_VERSION) == 0);
    CHECK(etclite_version_number() == ETCLITE_VERSION_NUMBER && etclite_abi_version() == ETCLITE_ABI_VERSION);
    CHECK(strlen(etclite_status_text(ETCLITE_E_COMPACTED)) > 0 && strlen(etclite_status_text(12345)) > 0);
    STATUS(ETCLITE_NOT_FOUND, etclite_has_feature(TEXT("telepathy"), &err));
}

/* What a store says of itself. Structs that are filled in have their size set by the caller, too. */
static void status(void) {
    etclite_db *db = open_in_memory();
    etclite_status_info info;
    put_five(db);
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    OK(etclite_status(db, &info, &err));
    CHECK(info.revision == revision_of(db) && info.keys == 5 && info.leases == 0 && info.watches == 0);
    CHECK(info.member_id != 0 && info.leader_id == info.member_id && info.struct_size == sizeof info);
    OK(etclite_close(db, &err));
}

/* Results outlive their store; everything else answers CLOSED. */
static void closing_early(void) {
    etclite_db *db = open_in_memory();
    etclite_result *result = NULL;
    OK(etclite_put(db, TEXT("k"), TEXT("v"), NULL, NULL, &err));
    OK(etclite_get(db, TEXT("k"), 0, &result, &err));
    OK(etclite_close(db, &err));
    CHECK(strcmp(keys_of(result), "k ") == 0);
    OK(etclite_result_free(result));
    STATUS(ETCLITE_E_MISUSE, etclite_result_free(result));
    /* err may be left out everywhere. */
    CHECK(etclite_sync(db, NULL) == ETCLITE_E_MISUSE);
}

/* What was acknowledged is there when the store is opened again. */
static void reopening(const char *path) {
    etclite_db *db = NULL;
    etclite_result *result = NULL;
    int64_t before;
    OK(etclite_open(TEXT(path), NULL, &db, &err));
    put_five(db);
    before = revision_of(db);
    OK(etclite_close(db, &err));
    OK(etclite_open(TEXT(path), NULL, &db, &err));
    CHECK(revision_of(db) == before);
    OK(etclite_get(db, TEXT("a/4"), 0, &result, &err));
    OK(etclite_result_free(result));
    OK(etclite_close(db, &err));
}

int main(int argc, char **argv) {
    char path[4096];
    CHECK(argc == 2);
    opening(path_in(path, sizeof path, argv[1], "store"));
    reopening(path);
    putting_and_getting();
    put_options();
    ranges();
    deleting_and_compacting();
    scanning();
    txns();
    leases();
    watching();
    polling();
    locking();
    electing();
    upkeep(argv[1]);
    calls_in_bytes();
    library();
    status();
    closing_early();
    return 0;
}
