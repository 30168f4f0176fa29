// The program's own recvmsg, sendmsg and close, which stand before those of the C library for every library that it
// uses. For a descriptor that is watched they tell what went over it; for any other they do nothing more.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// Descriptors from this on cannot be watched.
#define DCF_SOCKETS_MAX 65536

/// A piece of memory; laid out as struct iovec.
typedef struct dcf_bytes {
    uint8_t *start;
    size_t count;
} dcf_bytes;

/// What is told of a watched descriptor, and to whom.
typedef struct dcf_socket_hooks {
    /// So many bytes were read into the pieces, which may be changed.
    ///
    /// - Parameter has_sent: whether anything was sent before, or is being sent.
    /// - Returns: what recvmsg is to return: `count`, or 0 for the end of the connection.
    long (*received)(void *connection, const dcf_bytes *pieces, size_t piece_count, long count, int has_sent);
    /// So many bytes of the pieces were written.
    void (*sent)(void *connection, const dcf_bytes *pieces, size_t piece_count, long count);
    /// The descriptor is about to be closed; it is not watched any more.
    void (*closed)(void *connection);
} dcf_socket_hooks;

/// Once, before the first descriptor is watched.
void dcf_sockets_start(dcf_socket_hooks hooks);

/// Watches a descriptor until it is closed. The connection that had its number before is closed by then.
void dcf_sockets_watch(int descriptor, void *connection);
