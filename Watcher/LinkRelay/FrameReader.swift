import Glibc
import WatcherLink

/// Reads whole frames from a stream socket; blocks until they come.
final class FrameReader {
    private static let capacity = 64 << 10
    /// The longest body until Welcome says another limit.
    private static let firstBodyBytes = 16 << 20

    var maxBodyLength = firstBodyBytes
    private let descriptor: Int32
    private let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    private var begin = 0
    private var end = 0

    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit {
        memory.deallocate()
    }

    /// The next frame; nil at the end of the link, whatever ended it.
    func next() throws(LinkError) -> [UInt8]? {
        while end - begin < FrameHeader.size {
            guard refill() else { return nil }
        }
        let header = FrameHeader(decoding: memory + begin)
        try header.validate(maxBodyLength: maxBodyLength)
        let count = FrameHeader.size + header.bodyLength
        let frame = [UInt8](unsafeUninitializedCapacity: count) { target, filled in
            guard let start = target.baseAddress else { return }
            // The rest of a long frame is received without another copy.
            filled = min(count, end - begin)
            memcpy(start, memory + begin, filled)
            begin += filled
            while filled < count {
                let more = receive(start + filled, count - filled)
                guard more > 0 else { return }
                filled += more
            }
        }
        return frame.count == count ? frame : nil
    }

    /// Receives more bytes into the buffer; false at the end of the link.
    private func refill() -> Bool {
        memmove(memory, memory + begin, end - begin)
        (begin, end) = (0, end - begin)
        let count = receive(memory + end, Self.capacity - end)
        end += max(count, 0)
        return count > 0
    }

    private func receive(_ target: UnsafeMutableRawPointer, _ room: Int) -> Int {
        while true {
            let count = recv(descriptor, target, room, 0)
            if count >= 0 || errno != EINTR { return count }
        }
    }
}
