internal import CLinux
internal import Glibc
internal import Platform
internal import SystemPackage

/// Watches descriptors, on one thread of its own, and calls their handlers when they can be read. The thread starts
/// with the first descriptor.
final class DescriptorWatch: Sendable {
    private struct State {
        var handlers: [UInt64: @Sendable () -> Void] = [:]
        var last: UInt64 = 0
        var thread: Thread?
        var isStopped = false
    }

    private let poll: EventPoll
    private let state = Lock(State())

    init() throws(FileError) {
        poll = try EventPoll()
    }

    /// Calls `handler`, on the thread of the watch, each time the descriptor can be read or has ended.
    ///
    /// - Parameter descriptor: stays open until it is removed.
    /// - Returns: a number for `remove`.
    func add(_ descriptor: CInt, _ handler: @escaping @Sendable () -> Void) throws(FileError) -> UInt64 {
        try state.withLock { state throws(FileError) in
            guard !state.isStopped else { throw FileError("watch", "a process", .badFileDescriptor) }
            state.last += 1
            try poll.watch(descriptor, key: state.last, named: "a process")
            state.handlers[state.last] = handler
            if state.thread == nil { state.thread = Thread(name: "templates") { [self] in run() } }
            return state.last
        }
    }

    /// Stops watching. A call of the handler may still be under way.
    func remove(_ number: UInt64, _ descriptor: CInt) {
        let handler = state.withLock { state in
            let handler = state.handlers.removeValue(forKey: number)
            if handler != nil { poll.remove(descriptor) }
            return handler
        }
        // Not under the lock: this may be the last reference to objects that the handler holds.
        withExtendedLifetime(handler) {}
    }

    /// Ends the thread.
    func stop() {
        let thread = state.withLock { state in
            state.isStopped = true
            defer { state.thread = nil }
            return state.thread
        }
        poll.wake()
        thread?.join()
    }

    private func run() {
        while !state.withLock({ $0.isStopped }) {
            for index in 0..<poll.wait() {
                guard let key = poll.event(index)?.key else { continue }
                // A descriptor that was removed a moment ago has no handler.
                let handler = state.withLock { $0.handlers[key] }
                assertNoLockIsHeld()
                handler?()
            }
        }
    }
}
