internal import CGRPC

/// What all calls that a server takes have in common: the memory that the core reads and writes while a call is under
/// way, what the caller said, and the metadata that goes back.
package class CoreCall: CompletionTag {
    final let storage: UnsafeMutablePointer<dcf_call_storage>

    override init() {
        storage = .allocate(capacity: 1)
        dcf_call_storage_init(storage)
    }

    deinit {
        dcf_call_storage_destroy(storage)
        storage.deallocate()
    }

    /// Calls `body` for each pair of the call's metadata. The memory is valid during the call of `body`.
    package final func forEachMetadata(_ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void)
    {
        let array = storage.pointee.metadata
        for index in 0..<array.count {
            let entry = array.metadata + index
            withUnsafePointer(to: &entry.pointee.key) { key in
                withUnsafePointer(to: &entry.pointee.value) { value in
                    body(
                        UnsafeRawBufferPointer(start: dcf_slice_start(key), count: dcf_slice_length(key)),
                        UnsafeRawBufferPointer(start: dcf_slice_start(value), count: dcf_slice_length(value)))
                }
            }
        }
    }

    /// Adds a pair to the trailing metadata. Before the call is finished; a key or a value that gRPC does not allow
    /// keeps the call from being finished.
    package final func addTrailer(_ key: StaticString, _ value: UnsafeRawBufferPointer) {
        dcf_call_storage_add_trailing(storage, grpc_slice(key), grpc_slice(copying: value))
    }

    /// The same with a key that is copied.
    package final func addTrailer(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        dcf_call_storage_add_trailing(storage, grpc_slice(copying: key), grpc_slice(copying: value))
    }

    /// Adds a pair to the initial metadata, two at most. Before anything is sent.
    package final func addInitial(_ key: StaticString, _ value: UnsafeRawBufferPointer) {
        dcf_call_storage_add_initial(storage, grpc_slice(key), grpc_slice(copying: value))
    }

    /// Has the status' message and metadata sent when the call is finished.
    final func prepare(_ status: Status) {
        storage.pointee.status_message = grpc_slice(status.boundedMessage)
        // So a client that compresses is told what to do instead. The core sends no leading metadata with a status alone.
        if status.code == .unimplemented {
            dcf_call_storage_add_trailing(
                storage, grpc_slice("grpc-accept-encoding" as StaticString), grpc_slice("identity" as StaticString))
        }
        for (key, value) in status.metadata.pairs {
            dcf_call_storage_add_trailing(storage, grpc_slice(key), grpc_slice(value))
        }
    }
}
