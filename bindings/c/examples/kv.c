/*
 * Puts a key, gets it back, and reads it as it was before.
 *
 *     make -C bindings/c examples
 *     target/c-release/bin/kv some/directory
 */

#include "etclite.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static etclite_error err;

/* Says what failed; every call below goes through this. */
static int failed(int32_t status) {
    if (status < 0) {
        fprintf(stderr, "error %" PRId32 ": %s\n", status, err.message);
    }
    return status < 0;
}

static const uint8_t *bytes(const char *text) {
    return (const uint8_t *)text;
}

static int show(const etclite_db *db, const char *key, int64_t revision) {
    etclite_result *result;
    int32_t status = etclite_get(db, bytes(key), strlen(key), revision, &result, &err);
    if (status == ETCLITE_NOT_FOUND) {
        printf("%s is not there\n", key);
        return 0;
    }
    if (failed(status)) {
        return 1;
    }
    const etclite_kv *kv;
    size_t count;
    int failure = failed(etclite_result_kvs(result, &kv, &count, &err));
    if (!failure) {
        printf("%.*s = %.*s (revision %" PRId64 ", version %" PRId64 ")\n", (int)kv->key_len, (const char *)kv->key,
               (int)kv->value_len, (const char *)kv->value, kv->mod_revision, kv->version);
    }
    etclite_result_free(result);
    return failure;
}

static int put(const etclite_db *db, const char *key, const char *value) {
    return failed(etclite_put(db, bytes(key), strlen(key), bytes(value), strlen(value), NULL, NULL, &err));
}

static int run(const etclite_db *db) {
    int64_t first, compacted;
    return put(db, "color", "red") || failed(etclite_revision(db, &first, &compacted, &err)) ||
           put(db, "color", "blue") || show(db, "color", 0) || show(db, "color", first) || show(db, "shape", 0);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    etclite_db *db;
    if (failed(etclite_open(bytes(argv[1]), strlen(argv[1]), NULL, &db, &err))) {
        return 1;
    }
    int failure = run(db);
    return failed(etclite_close(db, &err)) || failure;
}
