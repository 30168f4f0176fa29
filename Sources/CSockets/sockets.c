#define _GNU_SOURCE
#include "sockets.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct slot {
    _Atomic(void *) connection;
    _Atomic int has_sent;
} slot;

static slot slots[DCF_SOCKETS_MAX];
static dcf_socket_hooks hooks;
/// The process that watches. A child of fork, or of vfork, which shares this memory, closes its own descriptors: no
/// hook is called.
static pid_t owner;

static slot *watched_slot(int descriptor) {
    if (descriptor < 0 || descriptor >= DCF_SOCKETS_MAX) return NULL;
    slot *found = &slots[descriptor];
    return atomic_load_explicit(&found->connection, memory_order_acquire) ? found : NULL;
}

void dcf_sockets_start(dcf_socket_hooks given) {
    owner = getpid();
    hooks = given;
}

void dcf_sockets_watch(int descriptor, void *connection) {
    slot *own = &slots[descriptor];
    atomic_store_explicit(&own->has_sent, 0, memory_order_relaxed);
    atomic_store_explicit(&own->connection, connection, memory_order_release);
}

/// The descriptors to which this thread has written parts that wait for the rest.
#define HELD_MAX 64
static _Thread_local struct {
    int is_on;
    int count;
    int descriptors[HELD_MAX];
} held;

void dcf_sockets_hold(void) { held.is_on = 1; }

void dcf_sockets_push(void) {
    held.is_on = 0;
    // The option is on already. To set it again sends what waits.
    int yes = 1;
    for (int i = 0; i < held.count; i++)
        setsockopt(held.descriptors[i], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    held.count = 0;
}

/// The flag for a write to a watched descriptor by this thread.
static int held_flag(int descriptor) {
    if (!held.is_on) return 0;
    for (int i = 0; i < held.count; i++)
        if (held.descriptors[i] == descriptor) return MSG_MORE;
    if (held.count == HELD_MAX) return 0;
    held.descriptors[held.count++] = descriptor;
    return MSG_MORE;
}

ssize_t recvmsg(int descriptor, struct msghdr *message, int flags) {
    ssize_t count = syscall(SYS_recvmsg, descriptor, message, flags);
    slot *found = count > 0 && flags == 0 ? watched_slot(descriptor) : NULL;
    if (!found) return count;
    return hooks.received(atomic_load_explicit(&found->connection, memory_order_relaxed),
                          (const dcf_bytes *)message->msg_iov, message->msg_iovlen, count,
                          atomic_load_explicit(&found->has_sent, memory_order_acquire));
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
    slot *found = watched_slot(descriptor);
    if (!found) return syscall(SYS_sendmsg, descriptor, message, flags);
    // This is set before the bytes leave: another thread may read the answer to them before this thread goes on.
    if (!atomic_load_explicit(&found->has_sent, memory_order_relaxed))
        atomic_store_explicit(&found->has_sent, 1, memory_order_release);
    ssize_t count = syscall(SYS_sendmsg, descriptor, message, flags | held_flag(descriptor));
    if (count > 0) {
        hooks.sent(atomic_load_explicit(&found->connection, memory_order_relaxed), (const dcf_bytes *)message->msg_iov,
                   message->msg_iovlen, count);
    }
    return count;
}

int close(int descriptor) {
    slot *found = watched_slot(descriptor);
    if (found && getpid() == owner) {
        // This comes before the number can be given to another connection.
        void *connection = atomic_exchange_explicit(&found->connection, NULL, memory_order_acq_rel);
        if (connection) hooks.closed(connection);
    }
    return (int)syscall(SYS_close, descriptor);
}
