internal import CGRPC
internal import Glibc
package import Platform

/// A message as the core holds it: a row of slices. This value is the only owner of the C buffer and destroys it.
package struct ByteBuffer: ~Copyable, @unchecked Sendable {
    // @unchecked: no other value has the pointer, and the slices are not written to after they are made.
    private var handle: UnsafeMutablePointer<grpc_byte_buffer>

    /// Owns a buffer of the core from now on.
    init(owning handle: UnsafeMutablePointer<grpc_byte_buffer>) {
        self.handle = handle
    }

    deinit {
        grpc_byte_buffer_destroy(handle)
    }

    /// A message of `count` bytes in one slice, written by `fill`.
    package init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
        var slice = grpc_slice(count: count, fill)
        handle = grpc_raw_byte_buffer_create(&slice, 1)
        grpc_slice_unref(slice)
    }

    /// A message made of a copy of `bytes`.
    package init(_ bytes: some Collection<UInt8>) {
        self.init(count: bytes.count) { target in
            _ = target.initializeMemory(as: UInt8.self, fromContentsOf: bytes)
        }
    }

    /// A message of three parts: a copy of `prefix`, `memory`, which is not copied, and a copy of `suffix`.
    package init(prefix: [UInt8], _ memory: consuming OwnedBytes, suffix: [UInt8] = []) {
        var slices = (
            grpc_slice_from_copied_buffer(prefix, prefix.count), grpc_slice(owning: memory),
            grpc_slice_from_copied_buffer(suffix, suffix.count)
        )
        handle = withUnsafeMutableBytes(of: &slices) { raw in
            grpc_raw_byte_buffer_create(
                raw.assumingMemoryBound(to: grpc_slice.self).baseAddress, suffix.isEmpty ? 2 : 3)
        }
        grpc_slice_unref(slices.0)
        grpc_slice_unref(slices.1)
        grpc_slice_unref(slices.2)
    }

    /// A message that is `memory`, which is not copied.
    package init(_ memory: consuming OwnedBytes) {
        var slice = grpc_slice(owning: memory)
        handle = grpc_raw_byte_buffer_create(&slice, 1)
        grpc_slice_unref(slice)
    }

    /// Gives the C buffer away: its new owner destroys it.
    consuming func release() -> UnsafeMutablePointer<grpc_byte_buffer> {
        let released = handle
        discard self
        return released
    }

    /// How many bytes the message has.
    package var count: Int {
        grpc_byte_buffer_length(handle)
    }

    /// Whether the message is compressed, by an algorithm that the core knows.
    package var isCompressed: Bool { dcf_byte_buffer_is_compressed(handle) != 0 }

    /// Why the message was refused, if it was: it is compressed, or this is the short message that replaced it.
    package var refusal: MessageRefusal? {
        if isCompressed { return .compressed }
        guard segmentCount > 0 else { return nil }
        let first = segment(0)
        if first.count >= MessageRefusal.encodedBytes { return MessageRefusal(first) }
        guard count >= MessageRefusal.encodedBytes, first.first == MessageRefusal.firstByte else { return nil }
        return bytes.withUnsafeBytes { MessageRefusal($0) }
    }

    /// How many slices it has.
    package var segmentCount: Int {
        dcf_byte_buffer_count(handle)
    }

    /// The bytes of one slice, valid as long as the buffer.
    package func segment(_ index: Int) -> UnsafeRawBufferPointer {
        guard let slices = dcf_byte_buffer_slices(handle) else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(
            start: dcf_slice_start(slices + index), count: dcf_slice_length(slices + index))
    }

    /// A copy of the message.
    package var bytes: [UInt8] {
        let count = count
        return [UInt8](unsafeUninitializedCapacity: count) { target, initialized in
            var offset = 0
            for index in 0..<segmentCount {
                let segment = segment(index)
                UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(target)[offset...])
                    .copyMemory(from: segment)
                offset += segment.count
            }
            initialized = offset
        }
    }
}

extension grpc_slice {
    /// A slice with new memory, which `fill` writes.
    init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
        self = grpc_slice_malloc(count)
        guard let start = dcf_slice_start_mutable(&self) else { return }
        fill(UnsafeMutableRawBufferPointer(start: start, count: count))
    }

    init(_ string: String) {
        var string = string
        self = string.withUTF8 { grpc_slice_from_copied_buffer(UnsafeRawPointer($0.baseAddress), $0.count) }
    }

    /// A slice of the literal's memory, which is not copied.
    init(_ literal: StaticString) {
        self = grpc_slice_from_static_buffer(literal.utf8Start, literal.utf8CodeUnitCount)
    }

    /// A slice that is `memory`, which is not copied.
    init(owning memory: consuming OwnedBytes) {
        let count = memory.count
        self = grpc_slice_new(memory.release(), count) { free($0) }
    }

    init(copying bytes: UnsafeRawBufferPointer) {
        self = grpc_slice_from_copied_buffer(bytes.baseAddress, bytes.count)
    }

    /// A copy of the slice's bytes as text. Bytes that are not UTF-8 are replaced.
    var text: String {
        var copy = self
        let length = dcf_slice_length(&copy)
        return String(decoding: UnsafeBufferPointer(start: dcf_slice_start(&copy), count: length), as: UTF8.self)
    }
}
