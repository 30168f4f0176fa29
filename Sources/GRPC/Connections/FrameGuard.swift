/// Reads what a client sends, as it comes, and says when the client does what only an attacker does. A value that knows
/// one connection and nothing else: bytes in, a verdict out.
///
/// It reads the heads of the frames (RFC 9113) and, in DATA, the five bytes before each gRPC message, and copies nothing.
/// The one thing it changes: a message that must not reach the core becomes a short one that says why, see
/// ``MessageRefusal``; the core, the stream and its flow control see DATA of the same length.
package struct FrameGuard {
    /// A DATA frame of fewer bytes than this, in the midst of a message, carries next to nothing.
    private static let tinyBytes = 128
    /// A WINDOW_UPDATE of fewer bytes than this is small.
    private static let smallWindow: UInt32 = 4 << 10
    /// Small WINDOW_UPDATE frames that each stream allows.
    private static let windowUpdatesPerStream = 8
    private static let prefaceBytes = 24
    /// Streams that may be open here: the core keeps those that have acknowledged its settings to far fewer.
    private static let openStreamsMax = 16 << 10

    private let limits: FrameGuardLimits
    private var prefaceLeft = prefaceBytes
    private var heads = FrameHeadReader()

    // The frame that is being read.
    private var frame = FrameHead(0, 0)
    private var payloadLeft = 0
    /// What a WINDOW_UPDATE says, as far as it has come.
    private var value: UInt32 = 0
    /// Where in `streams` the frame's stream is; -1 when it is not open.
    private var current = -1
    private var wasWithinMessage = false

    // The connection.
    private var hasAcknowledged = false
    private var lastStream: UInt32 = 0
    private var streamsOpened = 0
    private var streams = MessageStreams()
    /// The stream of a header block that has not ended; 0 when there is none.
    private var headerBlock: UInt32 = 0
    private var headerFrames = 0
    private var headerBytes = 0
    private var smallWindowUpdates = 0
    private var resets: FrameRate
    private var emptyData: FrameRate
    private var pings: FrameRate
    private var settings: FrameRate
    private var others: FrameRate

    /// DATA frames that were sent to the client: each may be answered by two small WINDOW_UPDATE, the stream's and the
    /// connection's.
    package var sentDataFrames = 0

    package init(_ limits: FrameGuardLimits) {
        self.limits = limits
        let control = Double(limits.control)
        resets = FrameRate(burst: limits.resets, perSecond: Double(limits.resets))
        emptyData = FrameRate(burst: limits.emptyData, perSecond: Double(limits.emptyData) / 10)
        pings = FrameRate(burst: limits.control, perSecond: control / 10)
        settings = FrameRate(burst: max(limits.control / 10, 1), perSecond: control / 500)
        others = FrameRate(burst: limits.control, perSecond: control / 10)
    }

    /// Bytes of unfinished messages that were admitted.
    package var unfinishedBytes: Int { streams.admittedBytes }

    /// Streams that the client may still send something on.
    package var openStreams: Int { streams.count }

    /// Reads the next bytes that the client has sent.
    ///
    /// - Parameters:
    ///   - hasSent: whether the client can have heard from us.
    ///   - now: the time; asked for when it matters.
    ///   - admit: whether there is room for a message of so many bytes, which has begun and is not here yet.
    /// - Returns: what the client has broken; then nothing more is to be read.
    package mutating func receive(
        _ bytes: UnsafeMutableRawBufferPointer, hasSent: Bool, now: () -> MonotonicTime, admit: (Int) -> Bool
    ) -> FrameBreach? {
        var offset = 0
        if prefaceLeft > 0 {
            offset = min(prefaceLeft, bytes.count)
            prefaceLeft -= offset
        }
        // Streams may have ended in between.
        if payloadLeft > 0, frame.kind == FrameHead.Kind.data { current = streams.index(of: frame.stream) }
        while offset < bytes.count {
            if payloadLeft == 0 {
                guard let head = heads.next(in: UnsafeRawBufferPointer(bytes), at: &offset) else { return nil }
                frame = head
                payloadLeft = head.length
                if let breach = begin(hasSent: hasSent, now: now) { return breach }
            }
            let count = min(payloadLeft, bytes.count - offset)
            if count > 0 {
                switch frame.kind {
                case FrameHead.Kind.data:
                    if !take(bytes, offset..<offset + count, admit: admit) { return .inputBytes }
                case FrameHead.Kind.windowUpdate:
                    for index in offset..<offset + count { value = value << 8 | UInt32(bytes[index]) }
                default: break
                }
                offset += count
                payloadLeft -= count
            }
            if payloadLeft == 0, let breach = end(now: now) { return breach }
        }
        return nil
    }

    /// The server has ended the stream, or reset it: nothing that comes on it counts any more.
    ///
    /// - Parameter isFault: it was reset for what the client did on it.
    package mutating func ended(_ stream: UInt32, isFault: Bool, now: () -> MonotonicTime) -> FrameBreach? {
        streams.remove(stream)
        return isFault && !resets.allows(at: now()) ? .resets : nil
    }

    // MARK: Frames

    /// A frame's head was read.
    private mutating func begin(hasSent: Bool, now: () -> MonotonicTime) -> FrameBreach? {
        if headerBlock != 0, frame.kind != FrameHead.Kind.continuation || frame.stream != headerBlock {
            return .continuations
        }
        switch frame.kind {
        case FrameHead.Kind.data:
            current = streams.index(of: frame.stream)
            wasWithinMessage = streams.isWithinMessage(current)
            if frame.length == 0, !frame.endsStream, !emptyData.allows(at: now()) { return .emptyData }
            return nil
        case FrameHead.Kind.headers: return beginHeaders()
        case FrameHead.Kind.continuation:
            guard headerBlock != 0 else { return .continuations }
            headerFrames += 1
            headerBytes += frame.length
            return checkHeaders(of: headerBlock)
        case FrameHead.Kind.reset:
            streams.remove(frame.stream)
            return resets.allows(at: now()) ? nil : .resets
        case FrameHead.Kind.settings:
            guard frame.flags & FrameHead.Flags.acknowledges != 0 else {
                return settings.allows(at: now()) ? nil : .control
            }
            guard hasSent else { return .unackedStreams }
            hasAcknowledged = true
            return pings.allows(at: now()) ? nil : .control
        case FrameHead.Kind.ping: return pings.allows(at: now()) ? nil : .control
        case FrameHead.Kind.windowUpdate:
            value = 0
            return nil
        default: return others.allows(at: now()) ? nil : .control
        }
    }

    private mutating func beginHeaders() -> FrameBreach? {
        headerFrames = 0
        headerBytes = frame.length
        guard frame.stream > lastStream else {
            // Trailers.
            if frame.endsStream { streams.remove(frame.stream) }
            return checkHeaders(of: frame.stream)
        }
        lastStream = frame.stream
        streamsOpened += 1
        if !hasAcknowledged, streamsOpened > limits.unackedStreams { return .unackedStreams }
        if !frame.endsStream {
            guard streams.count < Self.openStreamsMax else { return .unackedStreams }
            streams.open(frame.stream)
        }
        return checkHeaders(of: frame.stream)
    }

    private mutating func checkHeaders(of stream: UInt32) -> FrameBreach? {
        headerBlock = frame.endsHeaders ? 0 : stream
        if headerFrames > limits.continuations { return .continuations }
        return headerBytes > limits.headerBytes ? .headerBytes : nil
    }

    /// A frame's last byte was read.
    private mutating func end(now: () -> MonotonicTime) -> FrameBreach? {
        switch frame.kind {
        case FrameHead.Kind.data:
            if frame.endsStream {
                streams.remove(frame.stream)
            } else if wasWithinMessage, (1..<Self.tinyBytes).contains(frame.length), streams.isWithinMessage(current) {
                return emptyData.allows(at: now()) ? nil : .emptyData
            }
            return nil
        case FrameHead.Kind.windowUpdate:
            guard value < Self.smallWindow else { return nil }
            smallWindowUpdates += 1
            let allowed = 10 * limits.control + Self.windowUpdatesPerStream * streamsOpened + 2 * sentDataFrames
            return smallWindowUpdates <= allowed ? nil : .control
        default: return nil
        }
    }

    // MARK: Messages

    /// Reads a part of a DATA frame's payload.
    ///
    /// - Returns: false when a message neither fits nor can be refused.
    private mutating func take(
        _ bytes: UnsafeMutableRawBufferPointer, _ range: Range<Int>, admit: (Int) -> Bool
    ) -> Bool {
        // The core knows no padding: it resets such a stream.
        guard current >= 0, frame.flags & FrameHead.Flags.padded == 0 else { return true }
        var offset = range.lowerBound
        while let begun = streams.read(current, bytes, &offset, range.upperBound) {
            // Of the message's bytes, the frame has so many, and the memory.
            let inFrame = payloadLeft - (offset - range.lowerBound)
            let inHand = range.upperBound - offset
            let refusal: MessageRefusal
            if begun.isCompressed {
                refusal = .compressed
            } else if begun.length > limits.messageBytes {
                refusal = .tooLarge(bytes: begun.length)
            } else if begun.length <= inHand {
                continue
            } else if admit(begun.length) {
                streams.admit(begun.length, current)
                continue
            } else {
                refusal = .noRoom(bytes: begun.length)
            }
            guard begun.isPrefixInHand, inHand >= MessageRefusal.encodedBytes else {
                // It is cut up where it begins. What is compressed is refused by whoever gets it, then.
                guard begun.length > inHand else { continue }
                guard begun.length <= limits.messageBytes, admit(begun.length) else { return false }
                streams.admit(begun.length, current)
                continue
            }
            let prefix = UnsafeMutableRawBufferPointer(rebasing: bytes[(offset - 5)..<offset])
            prefix[0] = 0
            UnsafeMutableRawBufferPointer(rebasing: prefix[1...])
                .storeBytes(of: UInt32(inFrame).bigEndian, as: UInt32.self)
            refusal.encode(to: UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<range.upperBound]))
            streams.refuse(current)
            return true
        }
        return true
    }
}
