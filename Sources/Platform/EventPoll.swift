internal import CLinux
internal import Glibc
internal import SystemPackage

/// The descriptors that one thread waits for: an epoll(7) set with a ``Wakeup`` in it.
///
/// Any thread may watch, change, remove and wake. Only one thread waits, and reads the events of its last wait.
package final class EventPoll: Sendable {
    /// The events of a descriptor: the bits of epoll.
    package struct Events: OptionSet, Sendable {
        package let rawValue: UInt32

        package init(rawValue: UInt32) { self.rawValue = rawValue }

        package static let readable = Events(rawValue: EPOLLIN.rawValue)
        package static let writable = Events(rawValue: EPOLLOUT.rawValue)
        /// The other end sends no more.
        package static let peerClosed = Events(rawValue: EPOLLRDHUP.rawValue)
        /// Reports readable bytes once, and again only when more bytes have come.
        package static let edgeTriggered = Events(rawValue: EPOLLET.rawValue)
    }

    private static let wakeKey = UInt64.max
    /// The most events of one wait.
    private static let capacity = 64

    private let descriptor: CInt
    private let wakeup: Wakeup
    /// Used only by the thread that waits.
    private nonisolated(unsafe) let events: UnsafeMutableBufferPointer<epoll_event>

    package init() throws(FileError) {
        descriptor = epoll_create1(CInt(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw FileError("make", "epoll", Errno(rawValue: errno)) }
        wakeup = Wakeup()
        events = .allocate(capacity: Self.capacity)
        try watch(wakeup.descriptor, key: Self.wakeKey, named: "eventfd")
    }

    deinit {
        events.deallocate()
        close(descriptor)
    }

    // MARK: Any thread

    /// Watches a descriptor.
    ///
    /// - Parameters:
    ///   - descriptor: must stay open until it is removed. Closing it removes it where there is no copy of it.
    ///   - key: comes with its events in ``event(_:)``.
    ///   - name: what the error calls it.
    package func watch(
        _ descriptor: CInt, for events: Events = .readable, key: UInt64, named name: String
    ) throws(FileError) {
        guard control(EPOLL_CTL_ADD, descriptor, events, key) else {
            throw FileError("watch", name, Errno(rawValue: errno))
        }
    }

    /// Watches a descriptor that is watched already for other events.
    package func change(_ descriptor: CInt, to events: Events, key: UInt64) {
        _ = control(EPOLL_CTL_MOD, descriptor, events, key)
    }

    package func remove(_ descriptor: CInt) {
        _ = control(EPOLL_CTL_DEL, descriptor, [], 0)
    }

    /// Ends the current wait, or the next one where there is none.
    package func wake() {
        wakeup.signal()
    }

    private func control(_ operation: CInt, _ descriptor: CInt, _ events: Events, _ key: UInt64) -> Bool {
        var event = epoll_event(events: events.rawValue, data: epoll_data(u64: key))
        return epoll_ctl(self.descriptor, operation, descriptor, &event) == 0
    }

    // MARK: The thread that waits

    /// Waits for an event, a wake-up, or the end of the time.
    ///
    /// - Parameter milliseconds: -1 waits for ever.
    /// - Returns: how many events there are.
    package func wait(milliseconds: CInt = -1) -> Int {
        Int(max(epoll_wait(descriptor, events.baseAddress, CInt(events.count), milliseconds), 0))
    }

    /// An event of the last wait, with its descriptor's key; nil for a wake-up.
    package func event(_ index: Int) -> (key: UInt64, events: Events)? {
        let event = events[index]
        guard event.data.u64 != Self.wakeKey else {
            wakeup.clear()
            return nil
        }
        return (event.data.u64, Events(rawValue: event.events))
    }
}

/// Wakes the thread that waits for its descriptor, an eventfd(2). Any thread may signal. Several signals count as one
/// until the thread clears them.
package final class Wakeup: Sendable {
    /// Readable from a signal until it is cleared.
    package let descriptor: CInt

    /// Traps where the process has no descriptor left. A program makes its wake-ups when it starts, one for each
    /// thread.
    package init() {
        descriptor = eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK))
        precondition(descriptor >= 0, "no descriptor is left (errno \(errno))")
    }

    deinit { close(descriptor) }

    package func signal() {
        eventfd_write(descriptor, 1)
    }

    package func clear() {
        var count: eventfd_t = 0
        eventfd_read(descriptor, &count)
    }
}
