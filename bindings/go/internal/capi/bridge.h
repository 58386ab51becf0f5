/* What cgo sees of the library: handles as numbers, as they are tokens and no addresses, and each call's answers in one
   struct without pointers, so that passing it needs no check at run time. */
#ifndef ETCLITE_GO_BRIDGE_H
#define ETCLITE_GO_BRIDGE_H

#include <string.h>

#include "etclite.h"

/* The archive that the program is linked with, if it is linked with one: its absence is told here and not by the linker. */
#if defined(ETCLITE_ARCHIVE) && defined(__has_include)
#if defined(__linux__) && defined(__x86_64__) && __has_include("../lib/linux_amd64/libetclite.a")
#elif defined(__linux__) && defined(__aarch64__) && __has_include("../lib/linux_arm64/libetclite.a")
#elif defined(__APPLE__) && defined(__x86_64__) && __has_include("../lib/darwin_amd64/libetclite.a")
#elif defined(__APPLE__) && defined(__aarch64__) && __has_include("../lib/darwin_arm64/libetclite.a")
#else
#error "the library is not built: run `make -C bindings/go lib`, or use an installed one with -tags etclite_system or etclite_dynamic"
#endif
#endif

/* What a call answers: its number, what it says of the number if that is below 0, and what it gives. */
typedef struct {
  etclite_error err;
  size_t len;            /* bytes in the caller's buffer */
  uintptr_t spill_data;  /* or, if they did not fit, in memory of the library, until spill_token is freed */
  size_t spill_len;
  uint64_t spill_token;
  uintptr_t handle;
  int64_t number;
} bridge_answer;

static inline void bridge_keep(bridge_answer *a, const etclite_buf *spill) {
  a->spill_data = (uintptr_t)spill->data;
  a->spill_len = spill->len;
  a->spill_token = spill->token;
}

static inline int32_t bridge_open(const uint8_t *path, size_t len, const etclite_open_options *options, bridge_answer *a) {
  etclite_db *db = NULL;
  int32_t status = etclite_open(path, len, options, &db, &a->err);
  a->handle = (uintptr_t)db;
  return status;
}

static inline int32_t bridge_close(uintptr_t db, bridge_answer *a) { return etclite_close((etclite_db *)db, &a->err); }

static inline int32_t bridge_sync(uintptr_t db, bridge_answer *a) { return etclite_sync((const etclite_db *)db, &a->err); }

static inline int32_t bridge_revision(uintptr_t db, bridge_answer *a) {
  int64_t compact_revision;
  return etclite_revision((const etclite_db *)db, &a->number, &compact_revision, &a->err);
}

static inline int32_t bridge_stats(uintptr_t db, uint32_t format, bridge_answer *a) {
  etclite_buf text = {NULL, 0, 0};
  int32_t status = etclite_stats((const etclite_db *)db, format, &text, &a->err);
  bridge_keep(a, &text);
  return status;
}

static inline int32_t bridge_backup(uintptr_t db, const uint8_t *path, size_t len, bridge_answer *a) {
  return etclite_backup((const etclite_db *)db, path, len, 0, &a->err);
}

static inline int32_t bridge_call(uintptr_t db, uint32_t op, const uint8_t *req, size_t len, uint8_t *out, size_t cap,
                                  bridge_answer *a) {
  etclite_buf spill = {NULL, 0, 0};
  int32_t status = etclite_call((const etclite_db *)db, op, req, len, out, cap, &a->len, &spill, &a->err);
  bridge_keep(a, &spill);
  return status;
}

static inline int32_t bridge_call_batch(uintptr_t db, const uint8_t *in, size_t len, uint8_t *out, size_t cap,
                                        bridge_answer *a) {
  etclite_buf spill = {NULL, 0, 0};
  int32_t status = etclite_call_batch((const etclite_db *)db, in, len, out, cap, &a->len, &spill, &a->err);
  bridge_keep(a, &spill);
  return status;
}

static inline int32_t bridge_watch_create(uintptr_t db, const uint8_t *req, size_t len, bridge_answer *a) {
  etclite_watch *watch = NULL;
  int32_t status = etclite_watch_create_raw((const etclite_db *)db, req, len, &watch, &a->err);
  a->handle = (uintptr_t)watch;
  return status;
}

static inline int32_t bridge_watch_next(uintptr_t watch, size_t bytes_max, uint8_t *out, size_t cap, bridge_answer *a) {
  etclite_buf spill = {NULL, 0, 0};
  int32_t status = etclite_watch_next_raw((etclite_watch *)watch, bytes_max, out, cap, &a->len, &spill, &a->err);
  bridge_keep(a, &spill);
  return status;
}

static inline int32_t bridge_watch_progress(uintptr_t watch, bridge_answer *a) {
  return etclite_watch_progress((const etclite_watch *)watch, &a->number, &a->err);
}

static inline int32_t bridge_watch_free(uintptr_t watch) { return etclite_watch_free((etclite_watch *)watch); }

/* Moves what a call spilled into memory of the caller's, spill_len bytes. */
static inline void bridge_take(bridge_answer *a, uint8_t *to) {
  etclite_buf spill = {(const uint8_t *)a->spill_data, a->spill_len, a->spill_token};
  if (spill.len > 0) {
    memcpy(to, spill.data, spill.len);
  }
  etclite_buf_free(&spill);
}

static inline int32_t bridge_poller_new(uintptr_t db, bridge_answer *a) {
  etclite_poller *poller = NULL;
  int32_t status = etclite_poller_new((const etclite_db *)db, &poller, &a->err);
  a->handle = (uintptr_t)poller;
  return status;
}

static inline int32_t bridge_poller_fd(uintptr_t poller, bridge_answer *a) {
  int32_t fd = -1;
  int32_t status = etclite_poller_fd((const etclite_poller *)poller, &fd, &a->err);
  a->number = fd;
  return status;
}

static inline int32_t bridge_poller_add(uintptr_t poller, uintptr_t watch, uint64_t cookie, bridge_answer *a) {
  return etclite_poller_add((const etclite_poller *)poller, (const etclite_watch *)watch, cookie, &a->err);
}

static inline int32_t bridge_poller_drain(uintptr_t poller, uint64_t *cookies, size_t cap, bridge_answer *a) {
  return etclite_poller_wait((etclite_poller *)poller, 0, cookies, cap, &a->len, &a->err);
}

static inline int32_t bridge_poller_free(uintptr_t poller) { return etclite_poller_free((etclite_poller *)poller); }

#endif
