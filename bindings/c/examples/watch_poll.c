/*
 * Follows two prefixes in one event loop. However many watches there are, one descriptor tells that some have something:
 * here to epoll, beside a descriptor of the program's own. Another thread puts the keys.
 *
 *     make -C bindings/c examples
 *     target/c-release/bin/watch_poll some/directory
 */

#include "etclite.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static etclite_error err;

/* In an example, what fails ends the program. */
static void must(int32_t status) {
    if (status < 0) {
        fprintf(stderr, "error %" PRId32 ": %s\n", status, err.message);
        exit(1);
    }
}

static const uint8_t *bytes(const char *text) {
    return (const uint8_t *)text;
}

struct writer {
    const etclite_db *db;
    /* One byte is written to it at the end: the program's own event. */
    int done;
};

static void *write_keys(void *argument) {
    const struct writer *writer = argument;
    static const char *const keys[] = {"config/port", "users/ann", "config/host", "users/bob"};
    for (int i = 0; i < 4; i++) {
        etclite_error own;
        if (etclite_put(writer->db, bytes(keys[i]), strlen(keys[i]), bytes("x"), 1, NULL, NULL, &own) != ETCLITE_OK) {
            fprintf(stderr, "%s\n", own.message);
            exit(1);
        }
    }
    if (write(writer->done, "", 1) != 1) {
        exit(1);
    }
    return NULL;
}

static etclite_watch *follow(const etclite_db *db, const etclite_poller *poller, const char *prefix, uint64_t cookie) {
    etclite_watch *watch;
    etclite_watch_options options = {0};
    options.struct_size = sizeof options;
    options.flags = ETCLITE_RANGE_PREFIX;
    must(etclite_watch_open(db, bytes(prefix), strlen(prefix), NULL, 0, &options, &watch, &err));
    must(etclite_poller_add(poller, watch, cookie, &err));
    return watch;
}

/* Shows what a watch has, until it has no more: then it is armed again. Returns how many events there were. */
static int drain(etclite_watch *watch, const char *name) {
    int shown = 0;
    for (;;) {
        etclite_events *events;
        const etclite_event *event;
        size_t count;
        int32_t status = etclite_watch_next(watch, 0, &events, &err);
        must(status);
        if (status == ETCLITE_TIMEOUT) {
            return shown;
        }
        must(etclite_events_get(events, &event, &count, &err));
        for (size_t i = 0; i < count; i++) {
            printf("%s: %.*s\n", name, (int)event[i].kv.key_len, (const char *)event[i].kv.key);
        }
        shown += (int)count;
        etclite_events_free(events);
    }
}

static void add_to_epoll(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

/* Until the writer is done and all four events were shown. */
static void loop(etclite_poller *poller, int own, etclite_watch *const *watches, const char *const *names) {
    int32_t fd;
    int shown = 0, is_done = 0;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    must(etclite_poller_fd(poller, &fd, &err));
    add_to_epoll(epoll, fd);
    add_to_epoll(epoll, own);
    while (!is_done || shown < 4) {
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, -1) != 1) {
            continue;
        }
        if (event.data.fd == own) {
            char byte;
            is_done = read(own, &byte, 1) == 1;
            continue;
        }
        uint64_t cookies[8];
        size_t count;
        must(etclite_poller_wait(poller, 0, cookies, 8, &count, &err));
        for (size_t i = 0; i < count; i++) {
            shown += drain(watches[cookies[i]], names[cookies[i]]);
        }
    }
    close(epoll);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    etclite_db *db;
    etclite_poller *poller;
    must(etclite_open(bytes(argv[1]), strlen(argv[1]), NULL, &db, &err));
    must(etclite_poller_new(db, &poller, &err));
    const char *const names[] = {"config", "users"};
    etclite_watch *watches[] = {follow(db, poller, "config/", 0), follow(db, poller, "users/", 1)};

    int ends[2];
    pthread_t thread;
    if (pipe(ends) != 0) {
        return 1;
    }
    struct writer writer = {db, ends[1]};
    if (pthread_create(&thread, NULL, write_keys, &writer) != 0) {
        return 1;
    }
    loop(poller, ends[0], watches, names);
    pthread_join(thread, NULL);

    etclite_watch_free(watches[0]);
    etclite_watch_free(watches[1]);
    etclite_poller_free(poller);
    must(etclite_close(db, &err));
    return 0;
}
