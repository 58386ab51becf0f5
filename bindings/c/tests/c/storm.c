/*
 * Many threads inside while others close and free: calls end with their answer, CLOSED or MISUSE; nothing hangs, nothing
 * is freed twice, and no write that was acknowledged is lost.
 */

#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 64

static etclite_error err;

static etclite_db *open_in_memory(void) {
    etclite_db *db = NULL;
    etclite_open_options options = {.struct_size = sizeof options, .flags = ETCLITE_OPEN_IN_MEMORY};
    OK(etclite_open(NONE, &options, &db, &err));
    return db;
}

static void start_all(pthread_t *threads, int count, void *(*body)(void *), void *argument) {
    for (int i = 0; i < count; i++) {
        CHECK(pthread_create(&threads[i], NULL, body, argument) == 0);
    }
}

static void join_all(const pthread_t *threads, int count) {
    for (int i = 0; i < count; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

/* What threads do to a store until it is closed. */
struct busy {
    etclite_db *db;
    atomic_int next;
    /* How many threads have done something. */
    atomic_int begun;
    atomic_long puts[THREADS];
};

/* Puts 0, 1, 2, .. at a key of its own, and notes how far it came. */
static void *put_and_read_until_closed(void *argument) {
    struct busy *busy = argument;
    int own = atomic_fetch_add(&busy->next, 1);
    char key[16], value[32];
    snprintf(key, sizeof key, "t%d", own);
    for (long i = 1;; i++) {
        etclite_error error;
        etclite_result *result = NULL;
        snprintf(value, sizeof value, "%ld", i);
        int32_t status = etclite_put(busy->db, TEXT(key), TEXT(value), NULL, NULL, &error);
        if (status == ETCLITE_OK) {
            atomic_store(&busy->puts[own], i);
            status = etclite_range(busy->db, TEXT("t"), TEXT("u"), NULL, &result, &error);
        }
        if (i == 1) {
            atomic_fetch_add(&busy->begun, 1);
        }
        if (status != ETCLITE_OK) {
            CHECK(status == ETCLITE_E_CLOSED || status == ETCLITE_E_MISUSE);
            return NULL;
        }
        const etclite_kv *kvs = NULL;
        size_t count = 0;
        CHECK(etclite_result_kvs(result, &kvs, &count, &error) == ETCLITE_OK && count >= 1);
        CHECK(kvs[count - 1].key[0] == 't');
        CHECK(etclite_result_free(result) == ETCLITE_OK);
    }
}

static void wait_for(atomic_int *counter, int value) {
    while (atomic_load(counter) < value) {
        sched_yield();
    }
}

static void *close_it(void *db) {
    etclite_error error;
    int32_t status = etclite_close((etclite_db *)db, &error);
    CHECK(status == ETCLITE_OK || status == ETCLITE_E_MISUSE);
    return (void *)(intptr_t)status;
}

/* Two close, one of them does. */
static void close_twice_at_once(etclite_db *db) {
    pthread_t other;
    void *status;
    CHECK(pthread_create(&other, NULL, close_it, db) == 0);
    intptr_t own = (intptr_t)close_it(db);
    CHECK(pthread_join(other, &status) == 0);
    CHECK((own == ETCLITE_OK) + ((intptr_t)status == ETCLITE_OK) == 1);
}

static void closing_under_calls_in_memory(void) {
    for (int round = 0; round < 20; round++) {
        struct busy busy = {.db = open_in_memory()};
        pthread_t threads[THREADS];
        start_all(threads, THREADS, put_and_read_until_closed, &busy);
        wait_for(&busy.begun, round * 3 + 1);
        close_twice_at_once(busy.db);
        join_all(threads, THREADS);
    }
}

static void what_was_acknowledged_is_there(const etclite_db *db, struct busy *busy) {
    for (int i = 0; i < THREADS; i++) {
        char key[16], value[32];
        long acknowledged = atomic_load(&busy->puts[i]);
        etclite_result *result = NULL;
        snprintf(key, sizeof key, "t%d", i);
        if (etclite_get(db, TEXT(key), 0, &result, &err) == ETCLITE_NOT_FOUND) {
            CHECK(acknowledged == 0);
            continue;
        }
        const etclite_kv *kvs = NULL;
        size_t count = 0;
        OK(etclite_result_kvs(result, &kvs, &count, &err));
        snprintf(value, sizeof value, "%.*s", (int)kvs->value_len, (const char *)kvs->value);
        CHECK(atol(value) >= acknowledged);
        OK(etclite_result_free(result));
    }
}

static void closing_under_calls_on_disk(const char *directory) {
    for (int round = 0; round < 5; round++) {
        char path[4096], name[32];
        struct busy busy = {.db = NULL};
        pthread_t threads[THREADS];
        snprintf(name, sizeof name, "store%d", round);
        path_in(path, sizeof path, directory, name);
        OK(etclite_open(TEXT(path), NULL, &busy.db, &err));
        start_all(threads, THREADS, put_and_read_until_closed, &busy);
        wait_for(&busy.begun, THREADS);
        close_twice_at_once(busy.db);
        /* It is free at once, while threads are still on their way to finding out. */
        etclite_db *again = NULL;
        OK(etclite_open(TEXT(path), NULL, &again, &err));
        join_all(threads, THREADS);
        what_was_acknowledged_is_there(again, &busy);
        OK(etclite_close(again, &err));
    }
}

/* One that waits, for ever. */
struct waiter {
    etclite_session *session;
    etclite_mutex *mutex;
    etclite_election *election;
    etclite_watch *watch;
    etclite_poller *poller;
    int32_t status;
};

static atomic_int about_to_wait;

static void *wait_for_ever(void *argument) {
    struct waiter *waiter = argument;
    etclite_events *events = NULL;
    uint64_t cookie;
    size_t count;
    atomic_fetch_add(&about_to_wait, 1);
    if (waiter->mutex != NULL) {
        waiter->status = etclite_mutex_lock(waiter->mutex, -1, NULL);
    } else if (waiter->election != NULL) {
        waiter->status = etclite_election_campaign(waiter->election, TEXT("v"), -1, NULL);
    } else if (waiter->watch != NULL) {
        waiter->status = etclite_watch_next(waiter->watch, -1, &events, NULL);
    } else {
        waiter->status = etclite_poller_wait(waiter->poller, -1, &cookie, 1, &count, NULL);
    }
    return NULL;
}

static void make_waiter(etclite_db *db, int of, struct waiter *waiter) {
    memset(waiter, 0, sizeof *waiter);
    switch (of % 4) {
    case 0:
        OK(etclite_session_open(db, NULL, &waiter->session, &err));
        OK(etclite_mutex_new(waiter->session, TEXT("held"), &waiter->mutex, &err));
        break;
    case 1:
        OK(etclite_session_open(db, NULL, &waiter->session, &err));
        OK(etclite_election_new(waiter->session, TEXT("led"), &waiter->election, &err));
        break;
    case 2:
        OK(etclite_watch_open(db, TEXT("never"), NONE, NULL, &waiter->watch, &err));
        break;
    default:
        OK(etclite_poller_new(db, &waiter->poller, &err));
        break;
    }
}

static void free_waiter(const struct waiter *waiter) {
    OK(etclite_mutex_free(waiter->mutex));
    OK(etclite_election_free(waiter->election));
    OK(etclite_watch_free(waiter->watch));
    OK(etclite_poller_free(waiter->poller));
    OK(etclite_session_close(waiter->session, 1, &err));
}

/* Somebody holds the lock and leads, so that nobody else can. Returns his session. */
static etclite_session *hold(etclite_db *db, etclite_mutex **mutex, etclite_election **election) {
    etclite_session *session = NULL;
    OK(etclite_session_open(db, NULL, &session, &err));
    OK(etclite_mutex_new(session, TEXT("held"), mutex, &err));
    OK(etclite_mutex_lock(*mutex, -1, &err));
    OK(etclite_election_new(session, TEXT("led"), election, &err));
    OK(etclite_election_campaign(*election, TEXT("v"), -1, &err));
    return session;
}

/* Waits until that many stand in the queues: each has a key there. */
static void wait_for_keys(const etclite_db *db, int64_t keys) {
    etclite_status_info info = {.struct_size = sizeof info};
    do {
        sched_yield();
        OK(etclite_status(db, &info, &err));
    } while (info.keys < keys);
}

/* Closing wakes everybody, and each handle is still freed by its own function. */
static void closing_wakes_all_who_wait(void) {
    etclite_db *db = open_in_memory();
    etclite_mutex *mutex = NULL;
    etclite_election *election = NULL;
    etclite_session *session = hold(db, &mutex, &election);
    static struct waiter waiters[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        make_waiter(db, i, &waiters[i]);
        start_all(&threads[i], 1, wait_for_ever, &waiters[i]);
    }
    wait_for(&about_to_wait, THREADS);
    wait_for_keys(db, 2 + THREADS / 2);
    OK(etclite_close(db, &err));
    join_all(threads, THREADS);
    for (int i = 0; i < THREADS; i++) {
        CHECK(waiters[i].status == ETCLITE_E_CLOSED);
        free_waiter(&waiters[i]);
    }
    OK(etclite_mutex_free(mutex));
    OK(etclite_election_free(election));
    OK(etclite_session_close(session, 1, &err));
}

/* So does freeing the handle that one waits on; and the others wait on. */
static void freeing_ends_a_wait(void) {
    etclite_db *db = open_in_memory();
    etclite_mutex *mutex = NULL;
    etclite_election *election = NULL;
    etclite_session *session = hold(db, &mutex, &election);
    for (int of = 0; of < 4; of++) {
        struct waiter waiter;
        pthread_t thread;
        make_waiter(db, of, &waiter);
        atomic_store(&about_to_wait, 0);
        start_all(&thread, 1, wait_for_ever, &waiter);
        wait_for(&about_to_wait, 1);
        if (of < 2) {
            wait_for_keys(db, 3);
        }
        OK(etclite_mutex_free(waiter.mutex));
        OK(etclite_election_free(waiter.election));
        OK(etclite_watch_free(waiter.watch));
        OK(etclite_poller_free(waiter.poller));
        join_all(&thread, 1);
        /* MISUSE if it was freed before the thread was inside. */
        CHECK(waiter.status == ETCLITE_E_CANCELED || waiter.status == ETCLITE_E_WATCH_CANCELED ||
              waiter.status == ETCLITE_E_MISUSE);
        OK(etclite_session_close(waiter.session, 1, &err));
    }
    OK(etclite_mutex_free(mutex));
    OK(etclite_election_free(election));
    OK(etclite_session_close(session, 1, &err));
    OK(etclite_close(db, &err));
}

static etclite_result *shared_result;
static atomic_int frees;
static atomic_int readers;

/* Reads the result until it is gone, or frees it. */
static void *read_or_free(void *argument) {
    int own = atomic_fetch_add((atomic_int *)argument, 1);
    etclite_header header;
    if (own % 8 == 7) {
        wait_for(&readers, 8);
        int32_t status = etclite_result_free(shared_result);
        CHECK(status == ETCLITE_OK || status == ETCLITE_E_MISUSE);
        atomic_fetch_add(&frees, status == ETCLITE_OK);
        return NULL;
    }
    atomic_fetch_add(&readers, 1);
    while (etclite_result_header(shared_result, &header, NULL) == ETCLITE_OK) {
        CHECK(header.revision == 2);
    }
    return NULL;
}

static void one_of_many_frees_is_the_one(void) {
    etclite_db *db = open_in_memory();
    OK(etclite_put(db, TEXT("k"), TEXT("v"), NULL, NULL, &err));
    for (int round = 0; round < 20; round++) {
        pthread_t threads[THREADS];
        atomic_int next = 0;
        atomic_store(&frees, 0);
        atomic_store(&readers, 0);
        OK(etclite_get(db, TEXT("k"), 0, &shared_result, &err));
        start_all(threads, THREADS, read_or_free, &next);
        join_all(threads, THREADS);
        CHECK(atomic_load(&frees) == 1);
    }
    OK(etclite_close(db, &err));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    closing_under_calls_in_memory();
    closing_under_calls_on_disk(argv[1]);
    closing_wakes_all_who_wait();
    freeing_ends_a_wait();
    one_of_many_frees_is_the_one();
    return 0;
}
