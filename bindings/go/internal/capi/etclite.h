/* Those functions of etclite.h that the Go module calls. */
#ifndef ETCLITE_H
#define ETCLITE_H

#include <stddef.h>
#include <stdint.h>

typedef struct etclite_db etclite_db;
typedef struct etclite_watch etclite_watch;
typedef struct etclite_poller etclite_poller;

typedef struct etclite_error {
  int32_t code;
  int32_t os_error;
  int64_t detail;
  char message[240];
} etclite_error;

typedef struct etclite_buf {
  const uint8_t *data;
  size_t len;
  uint64_t token;
} etclite_buf;

#define ETCLITE_OPEN_NO_CREATE 1
#define ETCLITE_OPEN_READ_ONLY 2
#define ETCLITE_OPEN_IN_MEMORY 4

typedef struct etclite_open_options {
  size_t struct_size;
  uint32_t flags;
  uint32_t durability;
  int64_t lock_wait_ms;
  int64_t request_bytes_max;
  int64_t store_bytes_max;
  int64_t memtable_bytes;
  uint32_t txn_ops_max;
  uint32_t reserved;
} etclite_open_options;

int32_t etclite_open(const uint8_t *path, size_t path_len, const etclite_open_options *options, etclite_db **db, etclite_error *err);
int32_t etclite_close(etclite_db *db, etclite_error *err);
int32_t etclite_sync(const etclite_db *db, etclite_error *err);
int32_t etclite_revision(const etclite_db *db, int64_t *revision, int64_t *compact_revision, etclite_error *err);
int32_t etclite_stats(const etclite_db *db, uint32_t format, etclite_buf *out, etclite_error *err);
int32_t etclite_backup(const etclite_db *db, const uint8_t *path, size_t path_len, uint32_t flags, etclite_error *err);
int32_t etclite_call(const etclite_db *db, uint32_t op, const uint8_t *req, size_t len, uint8_t *out, size_t cap, size_t *out_len, etclite_buf *spill, etclite_error *err);
int32_t etclite_call_batch(const etclite_db *db, const uint8_t *in, size_t len, uint8_t *out, size_t cap, size_t *out_len, etclite_buf *spill, etclite_error *err);
int32_t etclite_watch_create_raw(const etclite_db *db, const uint8_t *req, size_t len, etclite_watch **watch, etclite_error *err);
int32_t etclite_watch_next_raw(etclite_watch *watch, size_t bytes_max, uint8_t *out, size_t cap, size_t *out_len, etclite_buf *spill, etclite_error *err);
int32_t etclite_watch_progress(const etclite_watch *watch, int64_t *revision, etclite_error *err);
int32_t etclite_watch_free(etclite_watch *watch);
int32_t etclite_buf_free(etclite_buf *buf);
int32_t etclite_poller_new(const etclite_db *db, etclite_poller **poller, etclite_error *err);
int32_t etclite_poller_fd(const etclite_poller *poller, int32_t *fd, etclite_error *err);
int32_t etclite_poller_add(const etclite_poller *poller, const etclite_watch *watch, uint64_t cookie, etclite_error *err);
int32_t etclite_poller_wait(etclite_poller *poller, int64_t timeout_ms, uint64_t *cookies, size_t cap, size_t *count, etclite_error *err);
int32_t etclite_poller_free(etclite_poller *poller);

#endif
