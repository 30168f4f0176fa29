internal import CGRPC

/// Memory that is filled piece by piece (from a socket, say) and then becomes a message without being copied.
package struct SliceMemory: ~Copyable, @unchecked Sendable {
    // @unchecked: nobody else has the slice.
    private var slice: grpc_slice

    /// - Parameter count: bytes; more than 32, so that they lie outside the slice's own struct.
    package init(count: Int) {
        slice = grpc_slice_malloc_large(count)
    }

    deinit {
        grpc_slice_unref(slice)
    }

    /// Where the bytes are; valid as long as this value.
    package var bytes: UnsafeMutableRawBufferPointer {
        mutating get {
            UnsafeMutableRawBufferPointer(start: dcf_slice_start_mutable(&slice), count: dcf_slice_length(&slice))
        }
    }

    consuming func take() -> grpc_slice {
        let taken = grpc_slice_ref(slice)
        return taken
    }
}
