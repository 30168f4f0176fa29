import Glibc
import WatcherLink

/// Finished frames that wait to be written together. The loop fills and writes it; the guard's thread writes what has
/// waited too long because the handler is at a call that lasts.
///
/// A handle: copies share the memory, which lives as long as the process. What is mutable is touched under the lock
/// only.
struct OutputBuffer {
    /// Payloads up to this length are copied, longer ones are written from where they lie.
    static let copyLimit = 16 << 10
    /// From this fill on the buffer should be written.
    static let highWater = 64 << 10
    /// A frame that is copied fits beside a buffer that is not yet over the mark.
    private static let capacity = highWater + copyLimit + FrameHeader.headAllowance + FrameHeader.size

    private struct State {
        var lock = pthread_mutex_t()
        var count = 0
        /// When the oldest frame came, on MonotonicClock.
        var oldestNanos: Int64 = 0
        var isGuardAsleep = true
    }

    private let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    private let state = UnsafeMutablePointer<State>.allocate(capacity: 1)

    init() {
        state.initialize(to: State())
        pthread_mutex_init(&state.pointee.lock, nil)
    }

    // MARK: - The loop's side

    /// Adds a reply without metadata; a long payload is written at once, after all that waits.
    ///
    /// - Returns: bytes that wait now.
    func addReply(
        id: UInt64, isText: Bool, payload: UnsafeRawBufferPointer, at nowNanos: Int64, to socket: LinkSocket
    ) throws(WatcherError) -> Int {
        let header = FrameHeader(
            kind: .reply, flags: isText ? .text : .none, id: id, headLength: 2, payloadLength: payload.count)
        pthread_mutex_lock(&state.pointee.lock)
        defer { pthread_mutex_unlock(&state.pointee.lock) }
        append(header, at: nowNanos)
        (memory + state.pointee.count).storeBytes(of: 0, as: UInt16.self)
        state.pointee.count += 2
        if payload.count <= Self.copyLimit {
            append(payload)
        } else {
            try write(and: payload, to: socket)
        }
        return state.pointee.count
    }

    /// Adds any frame and writes it at once, after all that waits.
    func writeFrame(
        _ header: FrameHeader, head: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer, to socket: LinkSocket
    ) throws(WatcherError) {
        pthread_mutex_lock(&state.pointee.lock)
        defer { pthread_mutex_unlock(&state.pointee.lock) }
        append(header, at: 0)
        append(head)
        try write(and: payload, to: socket)
    }

    /// Writes all that waits.
    func flush(to socket: LinkSocket) throws(WatcherError) {
        pthread_mutex_lock(&state.pointee.lock)
        defer { pthread_mutex_unlock(&state.pointee.lock) }
        if state.pointee.count == 0 { return }
        try write(and: UnsafeRawBufferPointer(start: nil, count: 0), to: socket)
    }

    /// Whether the guard must be woken, as it would not look at the buffer by itself. It counts as awake from now on.
    func wakesGuard() -> Bool {
        pthread_mutex_lock(&state.pointee.lock)
        defer { pthread_mutex_unlock(&state.pointee.lock) }
        guard state.pointee.isGuardAsleep, state.pointee.count > 0 else { return false }
        state.pointee.isGuardAsleep = false
        return true
    }

    // MARK: - The guard's side

    /// Writes what came before a moment, as far as it can be done without waiting. Does nothing while the loop is at
    /// it.
    ///
    /// - Returns: whether anything waits.
    func flushOverdue(before nanos: Int64, to socket: LinkSocket) -> Bool {
        guard pthread_mutex_trylock(&state.pointee.lock) == 0 else { return true }
        defer { pthread_mutex_unlock(&state.pointee.lock) }
        let count = state.pointee.count
        guard count > 0, state.pointee.oldestNanos < nanos else { return count > 0 }
        let bytes = UnsafeRawBufferPointer(start: memory, count: count)
        let sent = max(0, socket.sendNow(bytes, UnsafeRawBufferPointer(start: nil, count: 0)))
        memmove(memory, memory + sent, count - sent)
        state.pointee.count = count - sent
        return true
    }

    /// - Returns: false when something waits, so that the guard must stay awake.
    func letGuardSleep() -> Bool {
        pthread_mutex_lock(&state.pointee.lock)
        defer { pthread_mutex_unlock(&state.pointee.lock) }
        state.pointee.isGuardAsleep = state.pointee.count == 0
        return state.pointee.isGuardAsleep
    }

    // MARK: - Under the lock

    private func append(_ header: FrameHeader, at nowNanos: Int64) {
        if state.pointee.count == 0 { state.pointee.oldestNanos = nowNanos }
        header.encode(to: memory + state.pointee.count)
        state.pointee.count += FrameHeader.size
    }

    private func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        memcpy(memory + state.pointee.count, source, bytes.count)
        state.pointee.count += bytes.count
    }

    private func write(and payload: UnsafeRawBufferPointer, to socket: LinkSocket) throws(WatcherError) {
        try socket.send(UnsafeRawBufferPointer(start: memory, count: state.pointee.count), payload)
        state.pointee.count = 0
    }
}
