/*
 * A process with an open store forks: while threads are in the middle of writes, waits and closing. In the child every
 * call on a handle from before returns FORKED and touches nothing; a store of the child's own works, and can be closed.
 * The parent notices nothing, and the child's end takes no lock away.
 */

#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void fork_once(const struct fixture *made, const char *path, const char *inherited) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(60);
        inherited_handles_are_refused(made);
        own_stores_work(path, inherited);
        _exit(0);
    }
    int ended;
    CHECK(waitpid(child, &ended, 0) == child);
    if (!WIFEXITED(ended) || WEXITSTATUS(ended) != 0) {
        fprintf(stderr, "the child ended with %#x\n", (unsigned)ended);
        abort();
    }
}

int main(int argc, char **argv) {
    char path[4096], own[4096], busy[4096];
    struct fixture made, on_disk;
    etclite_db *db = NULL;
    CHECK(argc == 2);
    path_in(path, sizeof path, argv[1], "store");
    path_in(own, sizeof own, argv[1], "child");
    path_in(busy, sizeof busy, argv[1], "busy");
    fixture_make(&made, argv[1]);
    OK(etclite_open(TEXT(path), NULL, &db, &err));
    on_disk = made;
    on_disk.handles[KIND_DB] = db;

    pthread_t threads[4];
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, write_on, i == 0 ? made.handles[KIND_DB] : db) == 0);
    }
    CHECK(pthread_create(&threads[3], NULL, open_and_close_on, busy) == 0);
    for (int i = 0; i < 50; i++) {
        fork_once(&on_disk, own, path);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }

    /* Still good, and still locked. */
    etclite_db *second = NULL;
    OK(etclite_put(db, TEXT("parent"), TEXT("v"), NULL, NULL, &err));
    STATUS(ETCLITE_E_LOCKED, etclite_open(TEXT(path), NULL, &second, &err));
    OK(etclite_close(db, &err));
    fixture_drop(&made);
    /* Once the parent has closed it, a child may have it. */
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(60);
        OK(etclite_open(TEXT(path), NULL, &db, &err));
        OK(etclite_close(db, &err));
        _exit(0);
    }
    int ended;
    CHECK(waitpid(child, &ended, 0) == child && ended == 0);
    return 0;
}
