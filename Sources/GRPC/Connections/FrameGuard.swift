package import Platform

/// Reads the bytes of one client as they come, and tells when the client does what only an attacker does. A value that
/// knows nothing but its connection: bytes go in, a verdict comes out.
///
/// It reads the heads of the frames (RFC 9113) and, in DATA, the five bytes before each gRPC message, and copies
/// nothing. It changes only one thing: a message that must not reach the core becomes a short message that says why,
/// see ``MessageRefusal``. The core, the stream and its flow control see DATA of the same length.
package struct FrameGuard {
    /// A DATA frame with fewer bytes than this, in the middle of a message, carries next to nothing.
    private static let tinyBytes = 128
    /// A WINDOW_UPDATE of fewer bytes than this is small.
    private static let smallWindow: UInt32 = 4 << 10
    /// How many small WINDOW_UPDATE frames each stream allows.
    private static let windowUpdatesPerStream = 8
    private static let prefaceBytes = 24
    /// How many streams may be open here. The core allows far fewer once the client has acknowledged its settings.
    private static let openStreamsMax = 16 << 10

    private let limits: FrameGuardLimits
    private var prefaceLeft = prefaceBytes
    private var heads = FrameHeadReader()

    // The frame that is being read.
    private var frame = FrameHead(0, 0)
    private var payloadLeft = 0
    /// The value of a WINDOW_UPDATE, as far as it has come.
    private var value: UInt32 = 0
    /// The index of the frame's stream in `streams`; -1 when the stream is not open.
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

    /// How many DATA frames were sent to the client. The client may answer each with two small WINDOW_UPDATE frames,
    /// one for the stream and one for the connection.
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

    /// The bytes of unfinished messages that were admitted.
    package var unfinishedBytes: Int { streams.admittedBytes }

    /// How many streams the client has not ended.
    package var openStreams: Int { streams.count }

    /// Reads the next bytes that the client has sent.
    ///
    /// - Parameters:
    ///   - hasSent: whether the server has sent anything to the client.
    ///   - now: the time; called only where it matters.
    ///   - admit: reserves room for a message of this many bytes that has begun to come; false when there is none.
    /// - Returns: the limit that the client has broken; then nothing more may be read.
    package mutating func receive(
        _ bytes: UnsafeMutableRawBufferPointer, hasSent: Bool, now: () -> MonotonicTime, admit: (Int) -> Bool
    ) -> FrameBreach? {
        var offset = 0
        if prefaceLeft > 0 {
            offset = min(prefaceLeft, bytes.count)
            prefaceLeft -= offset
        }
        // The stream may have ended since the last bytes.
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
                    if !readMessages(bytes, offset..<offset + count, admit: admit) { return .inputBytes }
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

    /// The server has ended the stream, or reset it: what still comes on it does not count any more.
    ///
    /// - Parameter isFault: whether it was reset because of what the client did on it.
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
    private mutating func readMessages(
        _ bytes: UnsafeMutableRawBufferPointer, _ range: Range<Int>, admit: (Int) -> Bool
    ) -> Bool {
        // The core does not support padding: it resets such a stream.
        guard current >= 0, frame.flags & FrameHead.Flags.padded == 0 else { return true }
        var offset = range.lowerBound
        while let begun = streams.read(current, bytes, &offset, range.upperBound) {
            // How many of the message's bytes are in this frame, and how many of them are in memory.
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
                // The message is cut up where it begins and cannot be replaced. A compressed one is refused by its
                // receiver.
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

/// The limits that a ``FrameGuard`` sets for one connection. A value.
package struct FrameGuardLimits: Sendable, Equatable {
    /// How many streams a client may open before it has acknowledged the server's settings: only after that does the
    /// core enforce the number of streams in them.
    package var unackedStreams = 100
    /// How many streams may be reset at once, and how many a second afterwards (CVE-2023-44487).
    package var resets = 500
    /// The most CONTINUATION frames of one header block (CVE-2024-27316).
    package var continuations = 16
    /// The most bytes of one header block as it is sent (CVE-2023-33953).
    package var headerBytes = 64 << 10
    /// How many DATA frames that carry next to nothing may come at once; a tenth of them a second afterwards
    /// (CVE-2019-9518).
    package var emptyData = 100
    /// How many PING frames, and how many PRIORITY frames, may come at once; a tenth of them a second afterwards. For
    /// SETTINGS it is a tenth at once, and a fiftieth of that a second. For small WINDOW_UPDATE frames it is ten times
    /// as many (CVE-2019-9512, 9515).
    package var control = 1_000
    /// The largest message that the core is given, in bytes.
    package var messageBytes = Int(UInt32.max)

    package init() {}
}

/// The limit that a client has broken, so that its connection is closed. The raw value is the limit's name.
package enum FrameBreach: String, Sendable, CaseIterable {
    case unackedStreams = "h2-unacked-streams"
    case resets = "h2-resets"
    case continuations = "h2-continuations"
    case headerBytes = "h2-header-bytes"
    case emptyData = "h2-empty-data"
    case control = "h2-control"
    /// Its unfinished messages have no room, and are cut up so that they cannot be refused one by one.
    case inputBytes = "input-bytes"

    /// What the client did, in words.
    package var description: String {
        switch self {
        case .unackedStreams:
            "more streams than it may open before it acknowledges the settings, or an early acknowledgement"
        case .resets: "too many streams reset"
        case .continuations: "a header block in too many frames, or one that is interrupted"
        case .headerBytes: "a header block of too many bytes"
        case .emptyData: "too many DATA frames that carry next to nothing"
        case .control: "too many PING, SETTINGS, PRIORITY or WINDOW_UPDATE frames"
        case .inputBytes: "unfinished messages of too many bytes"
        }
    }
}

/// Limits how often something may happen: a number of times at once, and then a number of times a second. A value: the
/// caller passes times.
struct FrameRate {
    /// How many nanoseconds one time costs.
    private let cost: Int64
    /// How far `spent` may be ahead of the clock.
    private let ahead: Int64
    /// The moment up to which all time is spent.
    private var spent: Int64 = .min

    init(burst: Int, perSecond: Double) {
        cost = Int64(1e9 / perSecond)
        ahead = cost.multipliedReportingOverflow(by: Int64(burst)).partialValue
    }

    /// - Returns: whether it may happen once more now.
    mutating func allows(at now: MonotonicTime) -> Bool {
        spent = max(spent, now.nanoseconds) + cost
        return spent - now.nanoseconds <= ahead
    }
}
