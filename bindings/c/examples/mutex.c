/*
 * Two threads contend for a lock and count together. Each reads the counter and puts it back one higher; the lock keeps
 * them apart, and the fence in the txn keeps out whoever has lost the lock without knowing it.
 *
 *     make -C bindings/c examples
 *     target/c-release/bin/mutex some/directory
 */

#include "etclite.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 50

static void must(int32_t status, const etclite_error *err) {
    if (status < 0) {
        fprintf(stderr, "error %" PRId32 ": %s\n", status, err->message);
        exit(1);
    }
}

static const uint8_t *bytes(const char *text) {
    return (const uint8_t *)text;
}

static long read_counter(const etclite_db *db) {
    etclite_error err;
    etclite_result *result;
    const etclite_kv *kv;
    size_t count;
    char text[32];
    int32_t status = etclite_get(db, bytes("counter"), 7, 0, &result, &err);
    must(status, &err);
    if (status == ETCLITE_NOT_FOUND) {
        return 0;
    }
    must(etclite_result_kvs(result, &kv, &count, &err), &err);
    snprintf(text, sizeof text, "%.*s", (int)kv->value_len, (const char *)kv->value);
    etclite_result_free(result);
    return atol(text);
}

/* Puts the counter, if the lock is still held. */
static void write_counter(const etclite_db *db, const etclite_mutex *mutex, long counter) {
    etclite_error err;
    etclite_txn *txn;
    int32_t succeeded;
    char text[32];
    snprintf(text, sizeof text, "%ld", counter);
    must(etclite_txn_new(&txn, &err), &err);
    must(etclite_txn_fenced(txn, mutex, &err), &err);
    must(etclite_txn_put(txn, bytes("counter"), 7, bytes(text), strlen(text), NULL, &err), &err);
    must(etclite_txn_commit(db, txn, &succeeded, NULL, &err), &err);
    etclite_txn_free(txn);
}

static void *count_up(void *argument) {
    const etclite_db *db = argument;
    etclite_error err;
    etclite_session *session;
    etclite_mutex *mutex;
    /* If this process dies, its locks are free after the session's 60 seconds. */
    must(etclite_session_open(db, NULL, &session, &err), &err);
    must(etclite_mutex_new(session, bytes("count"), 5, &mutex, &err), &err);
    for (int i = 0; i < ROUNDS; i++) {
        must(etclite_mutex_lock(mutex, -1, &err), &err);
        write_counter(db, mutex, read_counter(db) + 1);
        must(etclite_mutex_unlock(mutex, &err), &err);
    }
    etclite_mutex_free(mutex);
    must(etclite_session_close(session, 1, &err), &err);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    etclite_error err;
    etclite_db *db;
    must(etclite_open(bytes(argv[1]), strlen(argv[1]), NULL, &db, &err), &err);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, count_up, db) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    long counter = read_counter(db);
    printf("counted to %ld\n", counter);
    must(etclite_close(db, &err), &err);
    return counter == 0 || counter % (2 * ROUNDS) != 0;
}
