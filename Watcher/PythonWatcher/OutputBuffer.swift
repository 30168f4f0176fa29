import CLinux
import CPython
import Glibc
import WatcherLink

/// Finished frames that wait to be written together. The threads that run the handler fill the buffer and write it.
/// During a long call the guard's thread writes the frames that have waited too long.
///
/// A handle: copies share the memory, which lives as long as the process. Everything mutable is used under the lock
/// only. A thread with the GIL releases it while it waits for the lock, because the lock's holder may need the GIL to
/// go on.
struct OutputBuffer {
    /// Payloads up to this length are copied; longer ones are written without a copy.
    static let copyLimit = 16 << 10
    /// With more bytes than this, the buffer should be written.
    static let highWater = 64 << 10
    /// Room for one more copied frame when the buffer is just below ``highWater``.
    private static let capacity = highWater + copyLimit + FrameHeader.headAllowance + FrameHeader.size

    private struct State {
        var lock = pthread_mutex_t()
        var count = 0
        /// When the oldest frame came, on MonotonicClock.
        var oldestNanos: Int64 = 0
    }

    /// Frames of threads that must not wait for the buffer's lock or for the socket.
    private struct Control {
        var lock = pthread_mutex_t()
        var frames: [UInt8] = []
        var isThere: Int32 = 0
    }

    private let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    private let state = UnsafeMutablePointer<State>.allocate(capacity: 1)
    private let control = UnsafeMutablePointer<Control>.allocate(capacity: 1)

    init() {
        state.initialize(to: State())
        control.initialize(to: Control())
        pthread_mutex_init(&state.pointee.lock, nil)
        pthread_mutex_init(&control.pointee.lock, nil)
    }

    // MARK: - With the GIL

    /// Adds a reply without metadata. A long payload is written at once, after the waiting frames.
    ///
    /// - Returns: how many bytes wait now.
    func addReply(
        id: UInt64, isText: Bool, payload: UnsafeRawBufferPointer, at nowNanos: Int64, to socket: LinkSocket
    ) throws(WatcherError) -> Int {
        let header = FrameHeader(
            kind: .reply, flags: isText ? .text : .none, id: id, headLength: 2, payloadLength: payload.count)
        lock()
        defer { unlock() }
        try makeRoom(FrameHeader.size + 2 + min(payload.count, Self.copyLimit), socket)
        append(header, at: nowNanos)
        (memory + state.pointee.count).storeBytes(of: 0, as: UInt16.self)
        state.pointee.count += 2
        try append(payload: payload, to: socket)
        return state.pointee.count
    }

    /// Adds any frame. A long payload is written at once, after the waiting frames.
    ///
    /// - Returns: how many bytes wait now.
    func addFrame(
        _ header: FrameHeader, head: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer, at nowNanos: Int64,
        to socket: LinkSocket
    ) throws(WatcherError) -> Int {
        lock()
        defer { unlock() }
        try makeRoom(FrameHeader.size + head.count + min(payload.count, Self.copyLimit), socket)
        append(header, at: nowNanos)
        append(head)
        try append(payload: payload, to: socket)
        return state.pointee.count
    }

    /// Writes all waiting frames.
    func flush(to socket: LinkSocket) throws(WatcherError) {
        lock()
        defer { unlock() }
        repeat {
            takeControl()
            if state.pointee.count > 0 { try write(and: UnsafeRawBufferPointer(start: nil, count: 0), to: socket) }
        } while hasControl
    }

    /// Whether threads without the GIL have left frames. Needs no lock.
    var hasControl: Bool { dcf_atomic_load(&control.pointee.isThere) != 0 }

    // MARK: - Without the GIL

    /// Adds a frame without a payload. The next write or ``sendControl(to:)`` sends it. Never waits.
    func addControl(_ kind: FrameKind, flags: FrameFlags = .none, id: UInt64, head: [UInt8]) {
        let frame = FrameHeader.frame(kind, flags: flags, id: id, head: head)
        pthread_mutex_lock(&control.pointee.lock)
        defer { pthread_mutex_unlock(&control.pointee.lock) }
        control.pointee.frames += frame
        dcf_atomic_store(&control.pointee.isThere, 1)
    }

    /// Writes the frames of ``addControl(_:flags:id:head:)`` and all before them, as far as the socket takes them
    /// without waiting. The next write, or the guard, writes the rest.
    func sendControl(to socket: LinkSocket) {
        if hasControl { _ = flushOverdue(before: .max, to: socket) }
    }

    /// Writes the waiting frames if the oldest came before `nanos`, as far as the socket takes them without waiting.
    /// Does nothing while another thread has the lock.
    ///
    /// - Returns: whether any frames were waiting.
    func flushOverdue(before nanos: Int64, to socket: LinkSocket) -> Bool {
        guard pthread_mutex_trylock(&state.pointee.lock) == 0 else { return true }
        defer { unlock() }
        let isUrgent = hasControl
        takeControl()
        let count = state.pointee.count
        guard count > 0, isUrgent || state.pointee.oldestNanos < nanos else { return count > 0 }
        let bytes = UnsafeRawBufferPointer(start: memory, count: count)
        let sent = max(0, socket.sendNow(bytes, UnsafeRawBufferPointer(start: nil, count: 0)))
        memmove(memory, memory + sent, count - sent)
        state.pointee.count = count - sent
        return true
    }

    // MARK: - Under the lock

    private func lock() {
        if pthread_mutex_trylock(&state.pointee.lock) == 0 { return }
        let thread = PyEval_SaveThread()
        pthread_mutex_lock(&state.pointee.lock)
        PyEval_RestoreThread(thread)
    }

    private func unlock() {
        pthread_mutex_unlock(&state.pointee.lock)
    }

    private func makeRoom(_ count: Int, _ socket: LinkSocket) throws(WatcherError) {
        guard state.pointee.count + count > Self.capacity else { return }
        try write(and: UnsafeRawBufferPointer(start: nil, count: 0), to: socket)
    }

    /// Appends the frames that threads without the GIL have left, as many as there is room for.
    private func takeControl() {
        guard hasControl else { return }
        pthread_mutex_lock(&control.pointee.lock)
        defer { pthread_mutex_unlock(&control.pointee.lock) }
        var taken = 0
        let room = Self.capacity - state.pointee.count
        control.pointee.frames.withUnsafeBytes { bytes in
            var count = 0
            while count < bytes.count, let start = bytes.baseAddress {
                let next = count + FrameHeader.size + FrameHeader(decoding: start + count).bodyLength
                if next > room { break }
                count = next
            }
            append(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            taken = count
        }
        control.pointee.frames.removeFirst(taken)
        if control.pointee.frames.isEmpty { dcf_atomic_store(&control.pointee.isThere, 0) }
    }

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

    private func append(payload: UnsafeRawBufferPointer, to socket: LinkSocket) throws(WatcherError) {
        if payload.count <= Self.copyLimit {
            append(payload)
        } else {
            try write(and: payload, to: socket)
        }
    }

    private func write(and payload: UnsafeRawBufferPointer, to socket: LinkSocket) throws(WatcherError) {
        try socket.send(UnsafeRawBufferPointer(start: memory, count: state.pointee.count), payload)
        state.pointee.count = 0
    }
}
