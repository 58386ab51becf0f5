/*
 * A bug in the library, planted by a build with the feature `_testing`: the call returns PANIC with a message, nothing is
 * written to stderr, the store that it was on takes no more writes until it is reopened, and all else goes on.
 */

#include "fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* Of that build alone, so it is in no header. */
extern int32_t etclite_testing_panic(const etclite_db *db, etclite_error *err);
/* The request that panics, in a batch. */
#define PANIC_OP 0xffff
#define BATCH_OF_PANIC "\xff\xff\0\0\0\0\0\0"

/* Has what is written to stderr go to a file, until `give_back`. */
static int take_stderr(const char *directory) {
    char path[4096];
    int file = open(path_in(path, sizeof path, directory, "stderr"), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    int before = dup(2);
    CHECK(file > 2 && before > 2 && dup2(file, 2) == 2 && close(file) == 0);
    return before;
}

/* How many bytes there were. */
static long give_back_stderr(int before) {
    long written = (long)lseek(2, 0, SEEK_END);
    CHECK(dup2(before, 2) == 2 && close(before) == 0);
    return written;
}

static int32_t by_call(etclite_db *db, etclite_error *error) {
    uint8_t out[64];
    size_t len = 0;
    etclite_buf spill;
    return etclite_call(db, PANIC_OP, NONE, out, sizeof out, &len, &spill, error);
}

static int32_t by_batch(etclite_db *db, etclite_error *error) {
    uint8_t out[64];
    size_t len = 0;
    etclite_buf spill;
    return etclite_call_batch(db, (const uint8_t *)BATCH_OF_PANIC, 8, out, sizeof out, &len, &spill, error);
}

static int32_t by_itself(etclite_db *db, etclite_error *error) {
    return etclite_testing_panic(db, error);
}

struct elsewhere {
    int32_t (*panic)(etclite_db *db, etclite_error *error);
    etclite_db *db;
    etclite_error error;
    int32_t status;
};

static void *call_elsewhere(void *argument) {
    struct elsewhere *elsewhere = argument;
    elsewhere->status = elsewhere->panic(elsewhere->db, &elsewhere->error);
    return NULL;
}

/* What the log is told, by a thread of the library's. */
struct log {
    atomic_int told;
    uint32_t level;
    char text[512];
};

static void note(void *context, uint32_t level, const uint8_t *message, size_t message_len) {
    struct log *log = context;
    log->level = level;
    snprintf(log->text, sizeof log->text, "%.*s", (int)message_len, (const char *)message);
    atomic_fetch_add(&log->told, 1);
}

static void check_value(etclite_db *db, const char *key, const char *value) {
    etclite_result *result = NULL;
    const etclite_kv *kvs = NULL;
    size_t count = 0;
    OK(etclite_get(db, TEXT(key), 0, &result, &err));
    OK(etclite_result_kvs(result, &kvs, &count, &err));
    CHECK(count == 1 && is_text(kvs->value, kvs->value_len, value));
    OK(etclite_result_free(result));
}

/* A panic by one of the ways, in another thread than the one that goes on with the store. */
static void panic_once(int32_t (*panic)(etclite_db *, etclite_error *), const char *path, const char *directory) {
    struct elsewhere elsewhere = {.panic = panic};
    struct log log = {0};
    etclite_db *other = open_in_memory();
    etclite_session *session = NULL;
    int32_t expired = 0;
    pthread_t thread;
    OK(etclite_open(TEXT(path), NULL, &elsewhere.db, &err));
    OK(etclite_put(elsewhere.db, TEXT("k"), TEXT("before"), NULL, NULL, &err));
    OK(etclite_session_open(elsewhere.db, NULL, &session, &err));
    OK(etclite_set_log(ETCLITE_LOG_INFO, note, &log, &err));

    int before = take_stderr(directory);
    CHECK(pthread_create(&thread, NULL, call_elsewhere, &elsewhere) == 0 && pthread_join(thread, NULL) == 0);
    long written = give_back_stderr(before);
    CHECK(elsewhere.status == ETCLITE_E_PANIC && elsewhere.error.code == ETCLITE_E_PANIC);
    CHECK(strncmp(elsewhere.error.message, "a bug in the library: ", 22) == 0);
    CHECK(elsewhere.error.os_error == 0 && elsewhere.error.detail == 0);
    CHECK(written == 0);

    /* No more writes, but reads; who holds a lock is told that it may be lost; the log has been told why. */
    STATUS(ETCLITE_E_POISONED, etclite_put(elsewhere.db, TEXT("k"), TEXT("after"), NULL, NULL, &err));
    check_value(elsewhere.db, "k", "before");
    OK(etclite_session_expired(session, &expired, &err));
    CHECK(expired == 1);
    while (atomic_load(&log.told) == 0) {
        sched_yield();
    }
    CHECK(log.level == ETCLITE_LOG_ERROR && strncmp(log.text, path, strlen(path)) == 0);
    CHECK(strstr(log.text, "takes no more writes until it is reopened") != NULL);
    OK(etclite_set_log(ETCLITE_LOG_OFF, NULL, NULL, &err));

    /* Other stores do not care. */
    OK(etclite_put(other, TEXT("k"), TEXT("v"), NULL, NULL, &err));
    OK(etclite_close(other, &err));
    etclite_session_close(session, 0, &err);
    etclite_close(elsewhere.db, &err);
    OK(etclite_open(TEXT(path), NULL, &elsewhere.db, &err));
    check_value(elsewhere.db, "k", "before");
    OK(etclite_put(elsewhere.db, TEXT("k"), TEXT("reopened"), NULL, NULL, &err));
    check_value(elsewhere.db, "k", "reopened");
    OK(etclite_close(elsewhere.db, &err));
}

int main(int argc, char **argv) {
    char path[4096];
    CHECK(argc == 2);
    path_in(path, sizeof path, argv[1], "store");
    panic_once(by_itself, path, argv[1]);
    panic_once(by_call, path, argv[1]);
    panic_once(by_batch, path, argv[1]);
    return 0;
}
