/* Loaded before the tests that run under ThreadSanitizer (make tsan). It tells ThreadSanitizer about the order that
   libraries without instrumentation establish between our threads. Its reports are then about our own code only.

   - A contended Mutex of Swift is locked and unlocked in the Synchronization library, by futexes.
   - An operation that the gRPC core gets with a tag comes back with that tag from a completion queue. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <stdint.h>

/* From the sanitizer's runtime. A child process that only inherits LD_PRELOAD does not have them. */
extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));

static void acquire(void *address) {
    if (address && __tsan_acquire) __tsan_acquire(address);
}

static void release(void *address) {
    if (address && __tsan_release) __tsan_release(address);
}

#define ORIGINAL(function, symbol) \
    static __typeof__(&function) original; \
    if (!original) original = (__typeof__(&function))dlsym(RTLD_NEXT, symbol)

/* Synchronization._MutexHandle */

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self

SWIFT void lock_slow(uint32_t thread, SELF) __asm__(LOCK);
SWIFT void unlock_slow(SELF) __asm__(UNLOCK);

SWIFT void lock_slow(uint32_t thread, SELF) {
    ORIGINAL(lock_slow, LOCK);
    original(thread, self);
    acquire(self);
}

SWIFT void unlock_slow(SELF) {
    ORIGINAL(unlock_slow, UNLOCK);
    release(self);
    original(self);
}

/* The gRPC core */

grpc_event grpc_completion_queue_next(grpc_completion_queue *queue, gpr_timespec deadline, void *reserved) {
    ORIGINAL(grpc_completion_queue_next, "grpc_completion_queue_next");
    grpc_event event = original(queue, deadline, reserved);
    if (event.type == GRPC_OP_COMPLETE) acquire(event.tag);
    return event;
}

grpc_call_error grpc_call_start_batch(
    grpc_call *call, const grpc_op *operations, size_t count, void *tag, void *reserved) {
    ORIGINAL(grpc_call_start_batch, "grpc_call_start_batch");
    release(tag);
    return original(call, operations, count, tag, reserved);
}

grpc_call_error grpc_server_request_call(
    grpc_server *server, grpc_call **call, grpc_call_details *details, grpc_metadata_array *metadata,
    grpc_completion_queue *bound, grpc_completion_queue *notified, void *tag) {
    ORIGINAL(grpc_server_request_call, "grpc_server_request_call");
    release(tag);
    return original(server, call, details, metadata, bound, notified, tag);
}

grpc_call_error grpc_server_request_registered_call(
    grpc_server *server, void *method, grpc_call **call, gpr_timespec *deadline, grpc_metadata_array *metadata,
    grpc_byte_buffer **payload, grpc_completion_queue *bound, grpc_completion_queue *notified, void *tag) {
    ORIGINAL(grpc_server_request_registered_call, "grpc_server_request_registered_call");
    release(tag);
    return original(server, method, call, deadline, metadata, payload, bound, notified, tag);
}

void grpc_server_shutdown_and_notify(grpc_server *server, grpc_completion_queue *queue, void *tag) {
    ORIGINAL(grpc_server_shutdown_and_notify, "grpc_server_shutdown_and_notify");
    release(tag);
    original(server, queue, tag);
}
