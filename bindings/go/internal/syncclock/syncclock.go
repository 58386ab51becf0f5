//go:build linux && cgo

// Package syncclock is for measurements alone: it puts itself between the library and the kernel's fdatasync, and notes when the
// latest one was over, on the clock that it tells. A program without this package in it is not touched.
package syncclock

/*
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t ended;

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t last_end(void) { return atomic_load(&ended); }

// The linker takes this one before libc's.
int fdatasync(int fd) {
  int result = syscall(SYS_fdatasync, fd);
  atomic_store(&ended, now());
  return result;
}
*/
import "C"

import "time"

// Now is the time on the clock, which begins somewhere.
func Now() time.Duration { return time.Duration(C.now()) }

// Ended is when the latest fdatasync of the library's was over.
func Ended() time.Duration { return time.Duration(C.last_end()) }
