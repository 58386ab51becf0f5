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
    status();
    closing_early();
    return 0;
}
