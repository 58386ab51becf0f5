/*
 * A process with an open store forks: while threads are in the middle of writes and closing, and while threads wait in
 * the library. In the child every call on a handle from before returns FORKED and touches nothing; stores of the child's
 * own work, with several threads, and can be closed. The parent notices nothing, and the child's end takes no lock away.
 */

#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a child may take before it is taken to hang: much longer than it does, also on a machine that is busy. */
#define CHILD_SECONDS 60

static atomic_int stop;

static void *write_on(void *db) {
    etclite_error own;
    while (!atomic_load(&stop)) {
        CHECK(etclite_put((etclite_db *)db, TEXT("w"), TEXT("v"), NULL, NULL, &own) == ETCLITE_OK);
    }
    return NULL;
}

static void *open_and_close_on(void *path) {
    etclite_error own;
    while (!atomic_load(&stop)) {
        etclite_db *db = NULL;
        CHECK(etclite_open(TEXT((const char *)path), NULL, &db, &own) == ETCLITE_OK);
        CHECK(etclite_close(db, &own) == ETCLITE_OK);
    }
    return NULL;
}

/* Every function, with handles that were inherited: FORKED; with good arguments and no handle, as ever. */
static void inherited_handles_are_refused(const struct fixture *made) {
    static char scratch[PARAMETERS_MAX][SCRATCH];
    union argument arguments[PARAMETERS_MAX];
    for (int i = 0; i < function_count; i++) {
        const struct function *function = &functions[i];
        if (function->count == 0 || function->parameters[0].what != IS_HANDLE) {
            continue;
        }
        good_arguments(function, made, scratch, arguments);
        int32_t status = function->call(arguments);
        if (status != ETCLITE_E_FORKED) {
            fprintf(stderr, "%s: %ld instead of FORKED\n", function->name, (long)status);
            _exit(1);
        }
    }
}

static void own_stores_work(const char *path, const char *inherited) {
    etclite_db *db = NULL;
    etclite_result *result = NULL;
    OK(etclite_open(TEXT(path), NULL, &db, &err));
    OK(etclite_put(db, TEXT("child"), TEXT("v"), NULL, NULL, &err));
    OK(etclite_get(db, TEXT("child"), 0, &result, &err));
    OK(etclite_result_free(result));
    /* The parent has it open. */
    etclite_db *second = NULL;
    STATUS(ETCLITE_E_LOCKED, etclite_open(TEXT(inherited), NULL, &second, &err));
    CHECK(err.detail == (int64_t)getppid());
    OK(etclite_close(db, &err));
}

/* Bytes that were inherited stay readable, and are not freed. */
static void inherited_bytes_are_refused(etclite_buf *inherited) {
    etclite_buf before = *inherited;
    CHECK(before.token != 0 && before.len > 0 && before.data[0] == '{');
    STATUS(ETCLITE_E_FORKED, etclite_buf_free(inherited));
    CHECK(memcmp(&before, inherited, sizeof before) == 0);
}

#define CHILD_WRITERS 8
#define CHILD_PUTS 25

static void *put_in_child(void *db) {
    etclite_error own;
    for (int i = 0; i < CHILD_PUTS; i++) {
        CHECK(etclite_put((etclite_db *)db, TEXT("shared"), TEXT("v"), NULL, NULL, &own) == ETCLITE_OK);
    }
    return NULL;
}

struct follower {
    etclite_poller *poller;
    etclite_watch *watch;
};

/* Sees all that the writers put, waiting by a poller. */
static void *follow_in_child(void *argument) {
    const struct follower *follower = argument;
    etclite_events *events = NULL;
    etclite_error own;
    uint64_t cookie;
    size_t count, seen = 0;
    while (seen < CHILD_WRITERS * CHILD_PUTS) {
        CHECK(etclite_poller_wait(follower->poller, -1, &cookie, 1, &count, &own) == ETCLITE_OK);
        CHECK(count == 1 && cookie == 7);
        int32_t status;
        while ((status = etclite_watch_next(follower->watch, 0, &events, &own)) == ETCLITE_OK) {
            const etclite_event *views;
            CHECK(etclite_events_get(events, &views, &count, &own) == ETCLITE_OK);
            seen += count;
            CHECK(etclite_events_free(events) == ETCLITE_OK);
        }
        CHECK(status == ETCLITE_TIMEOUT);
    }
    return NULL;
}

/* What a program does with a store of its own, by several threads, while it holds a lock. */
static void own_store_is_busy(const char *path) {
    etclite_open_options options = {.struct_size = sizeof options, .durability = ETCLITE_DURABILITY_WRITTEN};
    struct follower follower = {0};
    etclite_session *session = NULL;
    etclite_mutex *mutex = NULL;
    pthread_t threads[CHILD_WRITERS], following;
    etclite_db *db = path == NULL ? open_in_memory() : NULL;
    if (path != NULL) {
        OK(etclite_open(TEXT(path), &options, &db, &err));
    }
    OK(etclite_session_open(db, NULL, &session, &err));
    OK(etclite_mutex_new(session, TEXT("m"), &mutex, &err));
    OK(etclite_mutex_lock(mutex, -1, &err));
    OK(etclite_poller_new(db, &follower.poller, &err));
    OK(etclite_watch_open(db, TEXT("shared"), NONE, NULL, &follower.watch, &err));
    OK(etclite_poller_add(follower.poller, follower.watch, 7, &err));
    CHECK(pthread_create(&following, NULL, follow_in_child, &follower) == 0);
    for (int i = 0; i < CHILD_WRITERS; i++) {
        CHECK(pthread_create(&threads[i], NULL, put_in_child, db) == 0);
    }
    for (int i = 0; i < CHILD_WRITERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(pthread_join(following, NULL) == 0);
    OK(etclite_watch_free(follower.watch));
    OK(etclite_poller_free(follower.poller));
    OK(etclite_mutex_unlock(mutex, &err));
    OK(etclite_mutex_free(mutex));
    OK(etclite_session_close(session, 1, &err));
    OK(etclite_close(db, &err));
}

/* The child runs `body`, which ends it if something is not so. */
static void fork_once(void (*body)(void *), void *argument) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(CHILD_SECONDS);
        body(argument);
        _exit(0);
    }
    int ended;
    CHECK(waitpid(child, &ended, 0) == child);
    if (!WIFEXITED(ended) || WEXITSTATUS(ended) != 0) {
        fprintf(stderr, "the child ended with %#x\n", (unsigned)ended);
        abort();
    }
}

/* What the parent has, and where. */
struct parent {
    struct fixture made;
    etclite_db *on_disk;
    char path[4096], of_child[4096], busy[4096];
};

static void child_of_busy_threads(void *argument) {
    const struct parent *parent = argument;
    struct fixture with_disk = parent->made;
    with_disk.handles[KIND_DB] = parent->on_disk;
    inherited_handles_are_refused(&with_disk);
    own_stores_work(parent->of_child, parent->path);
}

static void forks_while_threads_write_and_close(struct parent *parent) {
    pthread_t threads[4];
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, write_on, i == 0 ? parent->made.handles[KIND_DB] : parent->on_disk) == 0);
    }
    CHECK(pthread_create(&threads[3], NULL, open_and_close_on, parent->busy) == 0);
    for (int i = 0; i < 50; i++) {
        fork_once(child_of_busy_threads, parent);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

#define POLLERS 16
#define OTHERS 4
#define WAITERS (POLLERS + 3 * OTHERS)

/* A thread that waits in the library, and for what: the one that is not null. */
struct waiter {
    pthread_t thread;
    atomic_int id;
    etclite_poller *poller;
    etclite_watch *watch;
    etclite_session *session;
    etclite_mutex *mutex;
    etclite_election *election;
};

static void *wait_in_library(void *argument) {
    struct waiter *waiter = argument;
    etclite_error own;
    etclite_events *events;
    uint64_t cookie;
    size_t count;
    atomic_store(&waiter->id, (int)syscall(SYS_gettid));
    if (waiter->poller != NULL) {
        CHECK(etclite_poller_wait(waiter->poller, -1, &cookie, 1, &count, &own) == ETCLITE_OK);
        CHECK(count == 1 && cookie == 1);
    } else if (waiter->watch != NULL) {
        CHECK(etclite_watch_next(waiter->watch, -1, &events, &own) == ETCLITE_OK);
        CHECK(etclite_events_free(events) == ETCLITE_OK);
    } else if (waiter->mutex != NULL) {
        CHECK(etclite_mutex_lock(waiter->mutex, -1, &own) == ETCLITE_OK);
        CHECK(etclite_mutex_unlock(waiter->mutex, &own) == ETCLITE_OK);
    } else {
        CHECK(etclite_election_campaign(waiter->election, TEXT("next"), -1, &own) == ETCLITE_OK);
        CHECK(etclite_election_resign(waiter->election, &own) == ETCLITE_OK);
    }
    return NULL;
}

static void make_waiter(struct waiter *waiter, int number, etclite_db *db) {
    memset(waiter, 0, sizeof *waiter);
    if (number < POLLERS + OTHERS) {
        OK(etclite_watch_open(db, TEXT("news"), NONE, NULL, &waiter->watch, &err));
    }
    if (number < POLLERS) {
        OK(etclite_poller_new(db, &waiter->poller, &err));
        OK(etclite_poller_add(waiter->poller, waiter->watch, 1, &err));
    } else if (number >= POLLERS + OTHERS) {
        OK(etclite_session_open(db, NULL, &waiter->session, &err));
        if (number < POLLERS + 2 * OTHERS) {
            OK(etclite_mutex_new(waiter->session, TEXT("m"), &waiter->mutex, &err));
        } else {
            OK(etclite_election_new(waiter->session, TEXT("e"), &waiter->election, &err));
        }
    }
    CHECK(pthread_create(&waiter->thread, NULL, wait_in_library, waiter) == 0);
}

/* What the system says of a thread: S is asleep. */
static char state_of(int id) {
    char path[64], line[256], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", id);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fgets(line, sizeof line, file) != NULL);
    fclose(file);
    CHECK(sscanf(strrchr(line, ')') + 1, " %c", &state) == 1);
    return state;
}

/* Until the thread sleeps: there is nothing but the library that it could sleep in. */
static void await_asleep(struct waiter *waiter) {
    while (atomic_load(&waiter->id) == 0 || state_of(atomic_load(&waiter->id)) != 'S') {
        sched_yield();
    }
}

/* Until so many stand for a lock or a lead. */
static void await_in_line(etclite_db *db, const char *prefix, int64_t places) {
    etclite_range_options options = {
        .struct_size = sizeof options, .flags = ETCLITE_RANGE_PREFIX | ETCLITE_RANGE_COUNT_ONLY};
    for (int64_t count = 0; count < places;) {
        etclite_result *result = NULL;
        OK(etclite_range(db, TEXT(prefix), NONE, &options, &result, &err));
        OK(etclite_result_count(result, &count, &err));
        OK(etclite_result_free(result));
    }
}

struct waiting {
    struct parent *parent;
    etclite_buf bytes;
    int number;
};

static void child_of_waiting_threads(void *argument) {
    struct waiting *waiting = argument;
    inherited_handles_are_refused(&waiting->parent->made);
    inherited_bytes_are_refused(&waiting->bytes);
    own_store_is_busy(waiting->number % 2 == 0 ? NULL : waiting->parent->of_child);
}

/* All that waited get what they waited for; nobody was woken before. */
static void end_waits(struct parent *parent, struct waiter *waiters) {
    OK(etclite_put(parent->made.handles[KIND_DB], TEXT("news"), TEXT("v"), NULL, NULL, &err));
    OK(etclite_mutex_unlock(parent->made.handles[KIND_MUTEX], &err));
    OK(etclite_election_resign(parent->made.handles[KIND_ELECTION], &err));
    for (int i = 0; i < WAITERS; i++) {
        CHECK(pthread_join(waiters[i].thread, NULL) == 0);
        OK(etclite_watch_free(waiters[i].watch));
        OK(etclite_poller_free(waiters[i].poller));
        OK(etclite_mutex_free(waiters[i].mutex));
        OK(etclite_election_free(waiters[i].election));
        OK(etclite_session_close(waiters[i].session, 1, &err));
    }
}

static void forks_while_threads_wait(struct parent *parent) {
    static struct waiter waiters[WAITERS];
    etclite_db *db = parent->made.handles[KIND_DB];
    struct waiting waiting = {.parent = parent};
    OK(etclite_stats(db, ETCLITE_STATS_JSON, &waiting.bytes, &err));
    for (int i = 0; i < WAITERS; i++) {
        make_waiter(&waiters[i], i, db);
    }
    await_in_line(db, "m/", OTHERS + 1);
    await_in_line(db, "e/", OTHERS + 1);
    for (int i = 0; i < WAITERS; i++) {
        await_asleep(&waiters[i]);
    }
    for (waiting.number = 0; waiting.number < 60; waiting.number++) {
        fork_once(child_of_waiting_threads, &waiting);
    }
    end_waits(parent, waiters);
    OK(etclite_buf_free(&waiting.bytes));
    CHECK(waiting.bytes.token == 0 && waiting.bytes.data == NULL && waiting.bytes.len == 0);
}

static void child_opens_what_parent_has_closed(void *argument) {
    const struct parent *parent = argument;
    etclite_db *db = NULL;
    OK(etclite_open(TEXT(parent->path), NULL, &db, &err));
    OK(etclite_close(db, &err));
}

int main(int argc, char **argv) {
    static struct parent parent;
    CHECK(argc == 2);
    path_in(parent.path, sizeof parent.path, argv[1], "store");
    path_in(parent.of_child, sizeof parent.of_child, argv[1], "child");
    path_in(parent.busy, sizeof parent.busy, argv[1], "busy");
    fixture_make(&parent.made, argv[1]);
    OK(etclite_open(TEXT(parent.path), NULL, &parent.on_disk, &err));
    forks_while_threads_write_and_close(&parent);
    forks_while_threads_wait(&parent);

    /* Still good, and still locked. */
    etclite_db *second = NULL;
    OK(etclite_put(parent.on_disk, TEXT("parent"), TEXT("v"), NULL, NULL, &err));
    STATUS(ETCLITE_E_LOCKED, etclite_open(TEXT(parent.path), NULL, &second, &err));
    OK(etclite_close(parent.on_disk, &err));
    fixture_drop(&parent.made);
    fork_once(child_opens_what_parent_has_closed, &parent);
    return 0;
}
