// Linux calls that Swift's Glibc module hides (they need _GNU_SOURCE) or cannot import (variadic, macros).
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

extern int accept4(int, struct sockaddr *, socklen_t *, int);
extern int pipe2(int[2], int);
extern int syncfs(int);

static inline int dcf_accept4(int fd, int flags) { return accept4(fd, NULL, NULL, flags); }

static inline int dcf_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

static inline int dcf_pidfd_send_signal(int pidfd, int sig) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

/// Nanoseconds of the monotonic clock.
static inline int64_t dcf_monotonic_nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/// Milliseconds since 1970.
static inline int64_t dcf_realtime_milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/// A signal that no program uses for something else, and that a watcher answers with the stacks of its threads.
static inline int dcf_stack_signal(void) { return SIGRTMIN + 8; }

/// The signal this process gets when the thread that started it ends.
static inline int dcf_prctl_pdeathsig(int sig) { return prctl(PR_SET_PDEATHSIG, (unsigned long)sig, 0, 0, 0); }

/// The name that ps and top show.
static inline int dcf_prctl_name(const char *name) { return prctl(PR_SET_NAME, (unsigned long)name, 0, 0, 0); }

/// A copy of `fd` at the lowest free number from `minimum` on, closed by exec.
static inline int dcf_dup_from(int fd, int minimum) { return fcntl(fd, F_DUPFD_CLOEXEC, minimum); }

/// A flag that another thread reads.
static inline int32_t dcf_atomic_load(const int32_t *value) { return __atomic_load_n(value, __ATOMIC_ACQUIRE); }
static inline void dcf_atomic_store(int32_t *value, int32_t new_value) {
    __atomic_store_n(value, new_value, __ATOMIC_RELEASE);
}

static inline int dcf_pipe2(int ends[2], int flags) { return pipe2(ends, flags); }

/// Writes out everything of the file system that the descriptor lies on.
static inline int dcf_syncfs(int fd) { return syncfs(fd); }

/// Lets a process (and every thread it starts afterwards) run on these CPUs only: bit n of the mask is CPU n.
static inline int dcf_sched_setaffinity(pid_t pid, const unsigned long *mask, size_t bytes) {
    return (int)syscall(SYS_sched_setaffinity, pid, bytes, mask);
}

/// Fills the mask with the CPUs this process may run on; the answer is the bytes written, or -1.
static inline int dcf_sched_getaffinity(pid_t pid, unsigned long *mask, size_t bytes) {
    return (int)syscall(SYS_sched_getaffinity, pid, bytes, mask);
}

/// Gives the calling thread a table of descriptors of its own, a copy of the process's.
static inline int dcf_unshare_files(void) { return (int)syscall(SYS_unshare, 0x400 /* CLONE_FILES */); }

/// Has malloc keep up to so many free bytes an arena, and serve blocks up to that size from arenas.
static inline void dcf_malloc_keep(int bytes) {
    mallopt(M_MMAP_THRESHOLD, bytes);
    mallopt(M_TRIM_THRESHOLD, bytes);
}

static inline void dcf_malloc_trim(void) { malloc_trim(0); }
