// The C gRPC core as Swift sees it: its headers, inline functions for what the headers express in macros and unions,
// and the batches of operations that the calls start.
#pragma once

// This comes before the core's headers, because they define _GNU_SOURCE. Otherwise some types of the C library would
// have other fields here than in every other module, and a file that sees both would not compile.
#include <features.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/string_util.h>
#include <grpc/support/time.h>
#include <stddef.h>
#include <string.h>

/// Where a slice's bytes are. The slice must not move while they are used: short bytes lie inside it.
static inline const uint8_t *dcf_slice_start(const grpc_slice *slice) {
    return slice->refcount ? slice->data.refcounted.bytes : slice->data.inlined.bytes;
}

static inline uint8_t *dcf_slice_start_mutable(grpc_slice *slice) {
    return slice->refcount ? slice->data.refcounted.bytes : slice->data.inlined.bytes;
}

static inline size_t dcf_slice_length(const grpc_slice *slice) {
    return slice->refcount ? slice->data.refcounted.length : slice->data.inlined.length;
}

/// The slices of a buffer.
static inline size_t dcf_byte_buffer_count(const grpc_byte_buffer *buffer) {
    return buffer->data.raw.slice_buffer.count;
}

static inline const grpc_slice *dcf_byte_buffer_slices(const grpc_byte_buffer *buffer) {
    return buffer->data.raw.slice_buffer.slices;
}

/// A queue that takes no part in the input and output of connections: its events come from the work of other threads.
static inline grpc_completion_queue *dcf_completion_queue_create_quiet(void) {
    grpc_completion_queue_attributes attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.version = 1;
    attributes.cq_completion_type = GRPC_CQ_NEXT;
    attributes.cq_polling_type = GRPC_CQ_NON_POLLING;
    return grpc_completion_queue_create(grpc_completion_queue_factory_lookup(&attributes), &attributes, NULL);
}

/// The memory that the core writes to while a server's call is under way. It is one block, so that its addresses stay.
typedef struct dcf_call_storage {
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *message;
    grpc_call_details details;
    int cancelled;
    grpc_byte_buffer *reply;
    /// This and what follows is sent: it must stay until its batch is complete.
    grpc_slice status_message;
    size_t initial_count;
    size_t trailing_count;
    size_t trailing_capacity;
    /// Points to `few`, or to allocated memory where there are more.
    grpc_metadata *trailing;
    grpc_metadata few[6];
    grpc_metadata initial[2];
} dcf_call_storage;

static inline void dcf_call_storage_init(dcf_call_storage *storage) {
    memset(storage, 0, offsetof(dcf_call_storage, few));
    storage->status_message = grpc_empty_slice();
    storage->trailing = storage->few;
    storage->trailing_capacity = sizeof storage->few / sizeof *storage->few;
    grpc_call_details_init(&storage->details);
}

static inline void dcf_metadata_unref(const grpc_metadata *entries, size_t count) {
    for (size_t i = 0; i < count; i++) {
        grpc_slice_unref(entries[i].key);
        grpc_slice_unref(entries[i].value);
    }
}

static inline void dcf_call_storage_destroy(dcf_call_storage *storage) {
    grpc_metadata_array_destroy(&storage->metadata);
    if (storage->message) grpc_byte_buffer_destroy(storage->message);
    if (storage->reply) grpc_byte_buffer_destroy(storage->reply);
    grpc_call_details_destroy(&storage->details);
    grpc_slice_unref(storage->status_message);
    dcf_metadata_unref(storage->initial, storage->initial_count);
    dcf_metadata_unref(storage->trailing, storage->trailing_count);
    if (storage->trailing != storage->few) gpr_free(storage->trailing);
    if (storage->call) grpc_call_unref(storage->call);
}

static inline void dcf_metadata_set(grpc_metadata *entry, grpc_slice key, grpc_slice value) {
    memset(entry, 0, sizeof *entry);
    entry->key = key;
    entry->value = value;
}

static inline void dcf_call_storage_add_trailing(dcf_call_storage *storage, grpc_slice key, grpc_slice value) {
    if (storage->trailing_count == storage->trailing_capacity) {
        size_t used = storage->trailing_count * sizeof *storage->trailing;
        grpc_metadata *larger = (grpc_metadata *)gpr_malloc(2 * used);
        memcpy(larger, storage->trailing, used);
        if (storage->trailing != storage->few) gpr_free(storage->trailing);
        storage->trailing = larger;
        storage->trailing_capacity *= 2;
    }
    dcf_metadata_set(&storage->trailing[storage->trailing_count++], key, value);
}

/// Adds a pair to the initial metadata; a third pair is dropped.
static inline void dcf_call_storage_add_initial(dcf_call_storage *storage, grpc_slice key, grpc_slice value) {
    if (storage->initial_count == sizeof storage->initial / sizeof *storage->initial) {
        grpc_slice_unref(key);
        grpc_slice_unref(value);
        return;
    }
    dcf_metadata_set(&storage->initial[storage->initial_count++], key, value);
}

/// Asks for the next call of a registered method, with its first message if `with_message`.
static inline grpc_call_error dcf_request_registered(grpc_server *server, void *method, int with_message,
                                                     dcf_call_storage *storage, grpc_completion_queue *bound,
                                                     grpc_completion_queue *notified, void *tag) {
    return grpc_server_request_registered_call(server, method, &storage->call, &storage->deadline, &storage->metadata,
                                               with_message ? &storage->message : NULL, bound, notified, tag);
}

/// Asks for the next call of any other method.
static inline grpc_call_error dcf_request_any(grpc_server *server, dcf_call_storage *storage,
                                              grpc_completion_queue *bound, grpc_completion_queue *notified,
                                              void *tag) {
    return grpc_server_request_call(server, &storage->call, &storage->details, &storage->metadata, bound, notified,
                                    tag);
}

/// Sends the initial metadata if `initial`, `storage->reply` if it is not null, and the status, in one batch. With
/// `closes` the batch also receives the close, which a call may do once: then `storage->cancelled` tells whether all of
/// it was sent, and the batch never fails.
static inline grpc_call_error dcf_finish(dcf_call_storage *storage, int initial, uint32_t code, int closes, void *tag) {
    grpc_op ops[4];
    size_t count = 0;
    memset(ops, 0, sizeof ops);
    if (initial) {
        ops[count].op = GRPC_OP_SEND_INITIAL_METADATA;
        ops[count].data.send_initial_metadata.count = storage->initial_count;
        ops[count++].data.send_initial_metadata.metadata = storage->initial;
    }
    if (storage->reply) {
        ops[count].op = GRPC_OP_SEND_MESSAGE;
        ops[count++].data.send_message.send_message = storage->reply;
    }
    ops[count].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[count].data.send_status_from_server.status = (grpc_status_code)code;
    ops[count].data.send_status_from_server.trailing_metadata_count = storage->trailing_count;
    ops[count].data.send_status_from_server.trailing_metadata = storage->trailing;
    ops[count++].data.send_status_from_server.status_details =
        GRPC_SLICE_IS_EMPTY(storage->status_message) ? NULL : &storage->status_message;
    if (closes) {
        ops[count].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
        ops[count++].data.recv_close_on_server.cancelled = &storage->cancelled;
    }
    return grpc_call_start_batch(storage->call, ops, count, tag, NULL);
}

/// The socket of the connection that a call came by, if it was given to the core as a descriptor; otherwise -1.
static inline int dcf_call_descriptor(grpc_call *call) {
    char *peer = grpc_call_get_peer(call);
    int descriptor = -1;
    // grpc_server_add_channel_from_fd names its peers so.
    if (peer && strncmp(peer, "fd:", 3) == 0) {
        descriptor = 0;
        for (const char *digit = peer + 3; *digit >= '0' && *digit <= '9' && descriptor < 1 << 20; digit++)
            descriptor = 10 * descriptor + (*digit - '0');
    }
    gpr_free(peer);
    return descriptor;
}

/// Whether the message of a buffer is compressed. The core has not unpacked it.
static inline int dcf_byte_buffer_is_compressed(const grpc_byte_buffer *buffer) {
    return buffer->data.raw.compression != GRPC_COMPRESS_NONE;
}

/// Asks to be told when the call ends. It is the only way in which the core tells a server that a client has left.
static inline grpc_call_error dcf_watch_close(dcf_call_storage *storage, void *tag) {
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    op.data.recv_close_on_server.cancelled = &storage->cancelled;
    return grpc_call_start_batch(storage->call, &op, 1, tag, NULL);
}

/// Sends `storage->reply`, with the initial metadata before it if `initial`.
///
/// `more` promises that another message follows: this one may wait for it, so that both leave in one write.
static inline grpc_call_error dcf_send_reply(dcf_call_storage *storage, int initial, int more, void *tag) {
    grpc_op ops[2];
    size_t count = 0;
    memset(ops, 0, sizeof ops);
    if (initial) {
        ops[count].op = GRPC_OP_SEND_INITIAL_METADATA;
        ops[count].data.send_initial_metadata.count = storage->initial_count;
        ops[count++].data.send_initial_metadata.metadata = storage->initial;
    }
    ops[count].op = GRPC_OP_SEND_MESSAGE;
    ops[count].flags = more ? GRPC_WRITE_BUFFER_HINT : 0;
    ops[count++].data.send_message.send_message = storage->reply;
    return grpc_call_start_batch(storage->call, ops, count, tag, NULL);
}

static inline grpc_call_error dcf_send_message(grpc_call *call, int initial, grpc_byte_buffer *message, void *tag) {
    grpc_op ops[2];
    size_t count = 0;
    memset(ops, 0, sizeof ops);
    if (initial) ops[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[count].op = GRPC_OP_SEND_MESSAGE;
    ops[count++].data.send_message.send_message = message;
    return grpc_call_start_batch(call, ops, count, tag, NULL);
}

static inline grpc_call_error dcf_receive_message(grpc_call *call, grpc_byte_buffer **message, void *tag) {
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = message;
    return grpc_call_start_batch(call, &op, 1, tag, NULL);
}

/// The memory that the core reads and writes while a client's call is under way.
typedef struct dcf_client_storage {
    grpc_call *call;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code status;
    grpc_slice details;
    /// What is sent must stay until its batch is complete.
    grpc_metadata *sent;
    size_t sent_count;
} dcf_client_storage;

static inline void dcf_client_storage_init(dcf_client_storage *storage) {
    memset(storage, 0, sizeof *storage);
    storage->details = grpc_empty_slice();
}

static inline void dcf_client_storage_destroy(dcf_client_storage *storage) {
    grpc_metadata_array_destroy(&storage->initial);
    grpc_metadata_array_destroy(&storage->trailing);
    grpc_slice_unref(storage->details);
    for (size_t i = 0; i < storage->sent_count; i++) {
        grpc_slice_unref(storage->sent[i].key);
        grpc_slice_unref(storage->sent[i].value);
    }
    gpr_free(storage->sent);
    if (storage->call) grpc_call_unref(storage->call);
}

static inline grpc_call *dcf_channel_call(grpc_channel *channel, grpc_completion_queue *queue, grpc_slice method,
                                          gpr_timespec deadline) {
    return grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue, method, NULL, deadline, NULL);
}

/// Sends the initial metadata, and receives the server's.
static inline grpc_call_error dcf_client_begin(dcf_client_storage *storage, void *tag) {
    grpc_op ops[2];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.count = storage->sent_count;
    ops[0].data.send_initial_metadata.metadata = storage->sent;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &storage->initial;
    return grpc_call_start_batch(storage->call, ops, 2, tag, NULL);
}

/// Receives the status, whenever it comes.
static inline grpc_call_error dcf_client_receive_status(dcf_client_storage *storage, void *tag) {
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    op.data.recv_status_on_client.trailing_metadata = &storage->trailing;
    op.data.recv_status_on_client.status = &storage->status;
    op.data.recv_status_on_client.status_details = &storage->details;
    return grpc_call_start_batch(storage->call, &op, 1, tag, NULL);
}

static inline grpc_call_error dcf_client_close_send(grpc_call *call, void *tag) {
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    return grpc_call_start_batch(call, &op, 1, tag, NULL);
}

// The key of an argument is copied, and the copy is never freed: a pointer that Swift makes from a string is valid only
// during the call, and the core reads it later. Channels and servers are few.
static inline grpc_arg dcf_arg_int(const char *key, int value) {
    grpc_arg arg;
    memset(&arg, 0, sizeof arg);
    arg.type = GRPC_ARG_INTEGER;
    arg.key = gpr_strdup(key);
    arg.value.integer = value;
    return arg;
}

static inline grpc_arg dcf_arg_quota(grpc_resource_quota *quota) {
    grpc_arg arg;
    memset(&arg, 0, sizeof arg);
    arg.type = GRPC_ARG_POINTER;
    arg.key = (char *)GRPC_ARG_RESOURCE_QUOTA;
    arg.value.pointer.p = quota;
    arg.value.pointer.vtable = grpc_resource_quota_arg_vtable();
    return arg;
}
