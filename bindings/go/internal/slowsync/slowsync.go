//go:build linux && cgo

// Package slowsync is for tests alone: it puts itself between the library and the kernel's fdatasync, so that a test can hold a
// commit for as long as it likes and knows when one has begun, or let it fail. A program without this package in it is not touched.
package slowsync

/*
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int held, waiting, failing, begun;

// The linker takes this one before libc's.
int fdatasync(int fd) {
  pthread_mutex_lock(&gate);
  waiting++;
  begun++;
  pthread_cond_broadcast(&changed);
  while (held) {
    pthread_cond_wait(&changed, &gate);
  }
  waiting--;
  int fails = failing;
  pthread_mutex_unlock(&gate);
  if (fails) {
    errno = EIO;
    return -1;
  }
  return syscall(SYS_fdatasync, fd);
}

static void set_held(int to) {
  pthread_mutex_lock(&gate);
  held = to;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&gate);
}

static void set_failing(int to) {
  pthread_mutex_lock(&gate);
  failing = to;
  pthread_mutex_unlock(&gate);
}

static int count_begun(void) {
  pthread_mutex_lock(&gate);
  int count = begun;
  pthread_mutex_unlock(&gate);
  return count;
}

static int count_waiting(void) {
  pthread_mutex_lock(&gate);
  int count = held ? waiting : 0;
  pthread_mutex_unlock(&gate);
  return count;
}
*/
import "C"

// Hold lets no fdatasync begin until Release.
func Hold() { C.set_held(1) }

// Release lets those go on that were held.
func Release() { C.set_held(0) }

// Fail lets each fdatasync fail, or no longer.
func Fail(on bool) {
	to := C.int(0)
	if on {
		to = 1
	}
	C.set_failing(to)
}

// Begun is how many calls there were so far.
func Begun() int { return int(C.count_begun()) }

// Held is how many calls are being held.
func Held() int { return int(C.count_waiting()) }
