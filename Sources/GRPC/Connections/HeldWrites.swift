internal import CSockets

/// Several small writes of one thread to clients' connections, sent together.
///
/// The core writes each reply as soon as it has it. On its own, each write makes a packet, and wakes the client once.
package enum HeldWrites {
    /// What the calling thread writes from now on waits in the system for more. `end` must follow on the same thread,
    /// soon.
    package static func begin() {
        dcf_sockets_hold()
    }

    /// Sends everything that waits.
    package static func end() {
        dcf_sockets_push()
    }
}
