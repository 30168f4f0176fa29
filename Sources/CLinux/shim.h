// Linux calls that Swift's Glibc module hides (they need _GNU_SOURCE) or cannot import (variadic, macros).
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern int accept4(int, struct sockaddr *, socklen_t *, int);
extern int pipe2(int[2], int);
extern int syncfs(int);

static inline int dcf_accept4(int fd, int flags) { return accept4(fd, NULL, NULL, flags); }

/// Makes the kernel drop further requests for a connection (SYN) to this listening socket. Connections that are being
/// made are completed. A client asks again after a second.
static inline int dcf_ignore_connection_requests(int fd) {
    // The filter sees a packet from its TCP header on; the flags are in byte 13.
    enum { flags = 13, syn = 0x02, ack = 0x10 };
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, flags),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, syn | ack),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, syn, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xFFFFFFFF),
    };
    struct sock_fprog filter = {.len = sizeof steps / sizeof steps[0], .filter = steps};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

static inline int dcf_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

static inline int dcf_pidfd_send_signal(int pidfd, int sig) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

/// The processor time of the calling thread in nanoseconds.
static inline int64_t dcf_thread_nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/// The monotonic clock in nanoseconds.
static inline int64_t dcf_monotonic_nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/// Waits until the descriptor can be read, at most `nanoseconds`; a negative number waits without a limit.
static inline void dcf_wait_readable(int fd, int64_t nanoseconds) {
    // The layout of poll.h, which is not included: its types would then come from this module and not from Glibc.
    struct {
        int fd;
        short events, revents;
    } one = {.fd = fd, .events = 1 /* POLLIN */};
    struct timespec time = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    (void)syscall(SYS_ppoll, &one, 1UL, nanoseconds < 0 ? (struct timespec *)0 : &time, (void *)0, 8UL);
}

/// The wall clock in milliseconds since 1970.
static inline int64_t dcf_realtime_milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/// The signal that a watcher answers with the stacks of its threads. No program uses it for anything else.
static inline int dcf_stack_signal(void) { return SIGRTMIN + 8; }

/// Sets the signal that this process gets when the thread that started it ends.
static inline int dcf_prctl_pdeathsig(int sig) { return prctl(PR_SET_PDEATHSIG, (unsigned long)sig, 0, 0, 0); }

/// From now on no program that this process or its children execute gets more rights than this process has.
static inline int dcf_prctl_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

/// Sets up a link between machines: small frames leave at once, and a peer that has vanished is an error (ETIMEDOUT)
/// after three to four seconds, on an idle link too.
static inline void dcf_tcp_set_keepalive(int fd) {
    // The numbers of netinet/tcp.h, which is not included: its types would then come from this module and not from
    // Glibc.
    enum { tcp = 6, no_delay = 1, keep_idle = 4, keep_interval = 5, keep_count = 6, user_timeout = 18 };
    int one = 1, count = 3;
    unsigned int milliseconds = 3000;
    setsockopt(fd, tcp, no_delay, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, tcp, keep_idle, &one, sizeof one);
    setsockopt(fd, tcp, keep_interval, &one, sizeof one);
    setsockopt(fd, tcp, keep_count, &count, sizeof count);
    setsockopt(fd, tcp, user_timeout, &milliseconds, sizeof milliseconds);
}

/// Gives the calling thread the policy SCHED_BATCH, unless it has another than the usual one: when it wakes up, it does
/// not take the processor from the thread that runs there. It has the same share of the processor as before.
static inline void dcf_sched_batch(void) {
    enum { batch = 3 };  // <sched.h> has it only with _GNU_SOURCE.
    struct sched_param none = {.sched_priority = 0};
    if (sched_getscheduler(0) == SCHED_OTHER) sched_setscheduler(0, batch, &none);
}

/// Sets the thread's name, which ps and top show.
static inline int dcf_prctl_name(const char *name) { return prctl(PR_SET_NAME, (unsigned long)name, 0, 0, 0); }

/// A copy of `fd` with the lowest free number from `minimum` on. Exec closes it.
static inline int dcf_dup_from(int fd, int minimum) { return fcntl(fd, F_DUPFD_CLOEXEC, minimum); }

/// The arguments that this process was started with, a zero byte after each; NULL where they cannot be read. The caller
/// frees them.
static inline char *dcf_command_line(size_t *length) {
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    size_t size = 0, room = 4096;
    char *text = fd < 0 ? NULL : (char *)malloc(room);
    while (text != NULL) {
        ssize_t count = read(fd, text + size, room - size);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) {
            free(text);
            text = NULL;
        }
        if (count <= 0) break;
        size += (size_t)count;
        if (size == room) {
            char *larger = (char *)realloc(text, room *= 2);
            if (larger == NULL) free(text);
            text = larger;
        }
    }
    if (fd >= 0) close(fd);
    if (text != NULL && size == 0) {
        free(text);
        text = NULL;
    }
    *length = size;
    return text;
}

/// Loads and stores of values that other threads read.
static inline int32_t dcf_atomic_load(const int32_t *value) { return __atomic_load_n(value, __ATOMIC_ACQUIRE); }
static inline void dcf_atomic_store(int32_t *value, int32_t new_value) {
    __atomic_store_n(value, new_value, __ATOMIC_RELEASE);
}

static inline int64_t dcf_atomic_load64(const int64_t *value) { return __atomic_load_n(value, __ATOMIC_ACQUIRE); }
static inline void dcf_atomic_store64(int64_t *value, int64_t new_value) {
    __atomic_store_n(value, new_value, __ATOMIC_RELEASE);
}
static inline int64_t dcf_atomic_add64(int64_t *value, int64_t more) {
    return __atomic_add_fetch(value, more, __ATOMIC_ACQ_REL);
}

/// Stores that take effect before the thread's next load: for two threads that each set a value for the other and then
/// read the other's.
static inline void dcf_atomic_tell(int32_t *value, int32_t new_value) {
    __atomic_store_n(value, new_value, __ATOMIC_SEQ_CST);
}
static inline void dcf_atomic_tell64(int64_t *value, int64_t new_value) {
    __atomic_store_n(value, new_value, __ATOMIC_SEQ_CST);
}
static inline int32_t dcf_atomic_exchange(int32_t *value, int32_t new_value) {
    return __atomic_exchange_n(value, new_value, __ATOMIC_SEQ_CST);
}

/// Sends a message with copies of `count` descriptors, at most 8, without waiting. Returns what sendmsg returns.
static inline ssize_t dcf_send_descriptors(int socket, const void *bytes, size_t length, const int *fds, size_t count) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(8 * sizeof(int))];
    } control;
    struct iovec part = {(void *)bytes, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 8) {
        errno = EINVAL;
        return -1;
    }
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/// Receives one message of exactly `length` bytes with one descriptor, without waiting; -1 when there is none.
static inline int dcf_receive_descriptor(int socket, void *bytes, size_t length) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = bytes, .iov_len = length};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != (ssize_t)length) return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) return -1;
    int received;
    memcpy(&received, CMSG_DATA(header), sizeof received);
    return received;
}

static inline int dcf_dup3(int from, int to, int flags) { return dup3(from, to, flags); }

/// Reaps a process if it has ended and is a child of this one. Returns its process id, or 0.
///
/// `status` gets its exit status, or the negative number of the signal that ended it.
static inline pid_t dcf_reap_pidfd(int pidfd, int *status) {
    siginfo_t info;
    info.si_pid = 0;
    if (waitid((idtype_t)3 /* P_PIDFD */, (id_t)pidfd, &info, WEXITED | WNOHANG) != 0) return 0;
    *status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return info.si_pid;
}

static inline int dcf_pipe2(int ends[2], int flags) { return pipe2(ends, flags); }

/// Writes out everything of the file system that the descriptor lies on.
static inline int dcf_syncfs(int fd) { return syncfs(fd); }

/// Lets a process, and every thread that it starts afterwards, run only on these CPUs: bit n of the mask is CPU n.
static inline int dcf_sched_setaffinity(pid_t pid, const unsigned long *mask, size_t bytes) {
    return (int)syscall(SYS_sched_setaffinity, pid, bytes, mask);
}

/// Fills the mask with the CPUs that the process may run on. Returns how many bytes were written, or -1.
static inline int dcf_sched_getaffinity(pid_t pid, unsigned long *mask, size_t bytes) {
    return (int)syscall(SYS_sched_getaffinity, pid, bytes, mask);
}

/// Starts a copy of this process, which must have one thread.
static inline pid_t dcf_fork(void) { return fork(); }

/// Reads entries of the open folder in the kernel's format (`struct linux_dirent64`), as many as fit in the buffer.
static inline ssize_t dcf_getdents(int fd, void *buffer, size_t bytes) {
    return syscall(SYS_getdents64, fd, buffer, bytes);
}

// The limit of file locks has had no effect since Linux 2.4.25; see ProcessMark. It is RLIMIT_LOCKS of sys/resource.h,
// which is not included: its types would then come from this module and not from Glibc.
enum { dcf_mark_resource = 10 };

/// The soft limit of file locks of a process; `pid` 0 is this process. Returns 0 where there is no limit, or it cannot
/// be read.
static inline uint64_t dcf_mark_of(pid_t pid) {
    uint64_t limits[2];
    if (syscall(SYS_prlimit64, pid, dcf_mark_resource, (void *)0, limits) != 0) return 0;
    return limits[0] == ~(uint64_t)0 ? 0 : limits[0];
}

/// Sets the soft limit of file locks. Returns 0, or -1 where that is not allowed.
static inline int dcf_set_mark(pid_t pid, uint64_t mark) {
    uint64_t limits[2];
    if (syscall(SYS_prlimit64, pid, dcf_mark_resource, (void *)0, limits) != 0) return -1;
    limits[0] = mark;
    return (int)syscall(SYS_prlimit64, pid, dcf_mark_resource, limits, (void *)0);
}

/// Gives the calling thread its own copy of the process's table of descriptors.
static inline int dcf_unshare_files(void) { return (int)syscall(SYS_unshare, 0x400 /* CLONE_FILES */); }

/// Makes malloc keep up to `bytes` free in each arena, and take blocks up to that size from arenas.
static inline void dcf_malloc_keep(int bytes) {
    mallopt(M_MMAP_THRESHOLD, bytes);
    mallopt(M_TRIM_THRESHOLD, bytes);
}

static inline void dcf_malloc_trim(void) { malloc_trim(0); }

/// Waits until the descriptor can be written to.
static inline void dcf_wait_writable(int fd) {
    struct {
        int fd;
        short events, revents;
    } one = {.fd = fd, .events = 4 /* POLLOUT */};
    (void)syscall(SYS_ppoll, &one, 1UL, (void *)0, (void *)0, 8UL);
}

// Finds the stack of a thread. The signal is SIGPROF, because the threads of Swift's pool block nearly all others.

enum { dcf_stack_frames_max = 64 };

/// A stack; the thread that is asked fills it in.
typedef struct {
    void *frames[64];
    int count;
    int is_done;
} dcf_stack;

// glibc's functions under other names: its headers declare them for some modules only.
extern int dcf_glibc_backtrace(void **, int) __asm__("backtrace");

/// Has the layout of glibc's Dl_info.
typedef struct {
    const char *file;
    void *base;
    const char *name;
    void *address;
} dcf_place;

/// The address of the program's headers, which are in its first page.
static inline uintptr_t dcf_program_headers(void) { return getauxval(AT_PHDR); }

/// Finds what lies at an address; 0 where nothing is known of it.
extern int dcf_glibc_dladdr(const void *, dcf_place *) __asm__("dladdr");

/// The handler of the signal. It takes no lock and allocates nothing: the unwinder was loaded before.
static inline void dcf_stack_answer(int signal, siginfo_t *info, void *context) {
    int saved = errno;
    (void)signal;
    (void)context;
    // Only this process may ask: the value is one of its addresses.
    if (info->si_code == SI_QUEUE && info->si_pid == getpid() && info->si_value.sival_ptr) {
        dcf_stack *stack = (dcf_stack *)info->si_value.sival_ptr;
        stack->count = dcf_glibc_backtrace(stack->frames, dcf_stack_frames_max);
        __atomic_store_n(&stack->is_done, 1, __ATOMIC_RELEASE);
    }
    errno = saved;
}

/// Loads the unwinder, and installs the handler: from now on threads answer.
static inline void dcf_stack_prepare(void) {
    void *frames[4];
    (void)dcf_glibc_backtrace(frames, 4);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = dcf_stack_answer;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGPROF, &action, NULL);
}

/// Asks a thread of this process for its stack. `stack` must stay until the thread has answered.
static inline int dcf_stack_ask(pid_t thread, dcf_stack *stack) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGPROF;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = stack;
    return (int)syscall(SYS_rt_tgsigqueueinfo, getpid(), thread, SIGPROF, &info);
}

static inline int dcf_stack_is_done(const dcf_stack *stack) { return __atomic_load_n(&stack->is_done, __ATOMIC_ACQUIRE); }

static inline const void *dcf_stack_frame(const dcf_stack *stack, int index) { return stack->frames[index]; }
