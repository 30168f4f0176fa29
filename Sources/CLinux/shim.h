// Linux calls that Swift's Glibc module hides (they need _GNU_SOURCE) or cannot import (variadic, macros).
#pragma once

#include <errno.h>
#include <linux/prctl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

extern int accept4(int, struct sockaddr *, socklen_t *, int);

static inline int dcf_accept4(int fd, int flags) { return accept4(fd, NULL, NULL, flags); }

static inline int dcf_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

static inline int dcf_pidfd_send_signal(int pidfd, int sig) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

/// The signal this process gets when the thread that started it ends.
static inline int dcf_prctl_pdeathsig(int sig) { return prctl(PR_SET_PDEATHSIG, (unsigned long)sig, 0, 0, 0); }

/// The name that ps and top show.
static inline int dcf_prctl_name(const char *name) { return prctl(PR_SET_NAME, (unsigned long)name, 0, 0, 0); }
