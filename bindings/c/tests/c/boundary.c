/*
 * What a host has set up stays as it was: signal dispositions, signal mask, umask, and the descriptors that a program it
 * starts inherits. Threads of the library take no signals. A store that is open cannot be opened again, by no other name
 * either. Structs of another release are taken as far as they mean something.
 */

#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct host {
    struct sigaction actions[NSIG];
    sigset_t mask;
    mode_t umask;
};

static void look(struct host *host) {
    memset(host, 0, sizeof *host);
    for (int signal = 1; signal < NSIG; signal++) {
        sigaction(signal, NULL, &host->actions[signal]);
    }
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &host->mask) == 0);
    host->umask = umask(0);
    umask(host->umask);
}

static void check_unchanged(const struct host *before) {
    struct host now;
    look(&now);
    for (int signal = 1; signal < NSIG; signal++) {
        CHECK(now.actions[signal].sa_handler == before->actions[signal].sa_handler);
        /* The C library adds this one to all that it is given, ours of above included. */
        CHECK(((now.actions[signal].sa_flags ^ before->actions[signal].sa_flags) & ~0x04000000) == 0);
        CHECK(sigismember(&now.mask, signal) == sigismember(&before->mask, signal));
    }
    CHECK(now.umask == before->umask);
}

static atomic_int handled;
static atomic_int handled_elsewhere;
static pthread_t main_thread;

static void on_signal(int signal) {
    (void)signal;
    atomic_fetch_add(&handled, 1);
    if (!pthread_equal(pthread_self(), main_thread)) {
        atomic_fetch_add(&handled_elsewhere, 1);
    }
}

/* Sent to the process, a signal goes to any thread that does not block it: here only to this one. */
static void threads_of_the_library_take_no_signals(etclite_db *db) {
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK(sigaction(SIGUSR1, &action, &before) == 0);
    sigset_t usr1, old;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    for (int i = 0; i < 200; i++) {
        OK(etclite_put(db, TEXT("s"), TEXT("v"), NULL, NULL, &err));
        /* While this thread blocks it, nobody else may take it. */
        CHECK(pthread_sigmask(SIG_BLOCK, &usr1, &old) == 0);
        CHECK(kill(getpid(), SIGUSR1) == 0);
        sched_yield();
        CHECK(atomic_load(&handled) == i);
        CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
        CHECK(atomic_load(&handled) == i + 1);
    }
    CHECK(atomic_load(&handled_elsewhere) == 0);
    CHECK(sigaction(SIGUSR1, &before, NULL) == 0);
}

/* Every descriptor above the standard ones is closed by exec. */
static void descriptors_are_close_on_exec(void) {
    DIR *open_now = opendir("/proc/self/fd");
    CHECK(open_now != NULL);
    int seen = 0;
    for (struct dirent *entry; (entry = readdir(open_now)) != NULL;) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd > 2 && fd != dirfd(open_now)) {
            CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
            seen++;
        }
    }
    CHECK(seen > 0);
    closedir(open_now);
}

static void one_store_is_open_once(const char *path, const char *directory) {
    char linked[4096], round_about[4096];
    etclite_db *second = NULL;
    path_in(linked, sizeof linked, directory, "linked");
    path_in(round_about, sizeof round_about, directory, "../");
    CHECK(symlink(path, linked) == 0);
    const char *name = strrchr(directory, '/');
    CHECK(name != NULL && strlen(round_about) + strlen(name) + 7 < sizeof round_about);
    strcat(strcat(round_about, name + 1), "/store");
    const char *const names[] = {path, linked, round_about};
    for (int i = 0; i < 3; i++) {
        STATUS(ETCLITE_E_LOCKED, etclite_open(TEXT(names[i]), NULL, &second, &err));
        CHECK(second == NULL && err.detail == (int64_t)getpid());
        etclite_open_options options = {.struct_size = sizeof options, .lock_wait_ms = 1};
        STATUS(ETCLITE_E_LOCKED, etclite_open(TEXT(names[i]), &options, &second, &err));
    }
    /* Nor does failing to open it give up its lock, to another process. */
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (etclite_open(TEXT(path), NULL, &second, &err) == ETCLITE_E_LOCKED) {
            /* Not by exit: valgrind would take for lost what threads hold that the child has not. */
            kill(getpid(), SIGKILL);
        }
        _exit(1);
    }
    int ended;
    CHECK(waitpid(child, &ended, 0) == child && WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL);
}

/* Files are created as the umask says. */
static void the_umask_is_kept_to(const char *path) {
    struct stat made;
    CHECK(stat(path, &made) == 0 && (made.st_mode & 0077) == 0);
}

int main(int argc, char **argv) {
    char path[4096];
    struct host before;
    etclite_db *db = NULL;
    CHECK(argc == 2);
    main_thread = pthread_self();
    /* What this program was started with is not the library's. */
    for (int fd = 3; fd < 1024; fd++) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    umask(0077);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_IGN);
    look(&before);
    OK(etclite_open(TEXT(path_in(path, sizeof path, argv[1], "store")), NULL, &db, &err));
    check_unchanged(&before);
    /* All that there is, threads included. */
    struct fixture made;
    fixture_make(&made, argv[1]);
    check_unchanged(&before);
    threads_of_the_library_take_no_signals(db);
    descriptors_are_close_on_exec();
    one_store_is_open_once(path, argv[1]);
    the_umask_is_kept_to(path);
    fixture_drop(&made);
    OK(etclite_close(db, &err));
    check_unchanged(&before);
    return 0;
}
