internal import CGRPC

extension grpc_slice {
    /// A slice of its own memory that `fill` writes.
    init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
        self = grpc_slice_malloc(count)
        guard let start = dcf_slice_start_mutable(&self) else { return }
        fill(UnsafeMutableRawBufferPointer(start: start, count: count))
    }

    init(_ string: String) {
        var string = string
        self = string.withUTF8 { grpc_slice_from_copied_buffer(UnsafeRawPointer($0.baseAddress), $0.count) }
    }

    /// A slice of the literal's own memory.
    init(_ literal: StaticString) {
        self = grpc_slice_from_static_buffer(literal.utf8Start, literal.utf8CodeUnitCount)
    }

    init(copying bytes: UnsafeRawBufferPointer) {
        self = grpc_slice_from_copied_buffer(bytes.baseAddress, bytes.count)
    }

    /// A copy of the slice's bytes as text; what is not UTF-8 is replaced.
    var text: String {
        var copy = self
        let length = dcf_slice_length(&copy)
        return String(decoding: UnsafeBufferPointer(start: dcf_slice_start(&copy), count: length), as: UTF8.self)
    }
}
