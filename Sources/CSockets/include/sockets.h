// The program's own recvmsg, sendmsg and close: every library of the program uses them instead of the C library's. For
// a watched descriptor they also call hooks; for any other descriptor they only make the system call.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// Descriptors from this number on cannot be watched.
#define DCF_SOCKETS_MAX 65536

/// A piece of memory with the layout of struct iovec.
typedef struct dcf_bytes {
    uint8_t *start;
    size_t count;
} dcf_bytes;

/// The functions that are called for watched descriptors. `connection` is the value that was given to
/// `dcf_sockets_watch`.
typedef struct dcf_socket_hooks {
    /// `count` bytes were read into the pieces. The hook may change them.
    ///
    /// - Parameter has_sent: whether anything was sent before, or is being sent.
    /// - Returns: what recvmsg returns: `count`, or 0 for the end of the connection.
    long (*received)(void *connection, const dcf_bytes *pieces, size_t piece_count, long count, int has_sent);
    /// `count` bytes of the pieces were written.
    void (*sent)(void *connection, const dcf_bytes *pieces, size_t piece_count, long count);
    /// The descriptor is about to be closed; it is not watched any more.
    void (*closed)(void *connection);
} dcf_socket_hooks;

/// Sets the hooks. Called once, before the first descriptor is watched.
void dcf_sockets_start(dcf_socket_hooks hooks);

/// Watches a descriptor until it is closed. The connection that had its number before is closed by then.
void dcf_sockets_watch(int descriptor, void *connection);

/// From now on, what this thread writes to watched descriptors waits in the system for more, so that several small
/// writes leave as one. `dcf_sockets_push` must follow soon: the system itself waits for up to 200 ms.
void dcf_sockets_hold(void);

/// Ends `dcf_sockets_hold`, and sends what waits.
void dcf_sockets_push(void);
