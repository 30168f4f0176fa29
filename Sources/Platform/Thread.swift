internal import CLinux
internal import Glibc

/// A thread for work that must never wait behind other work, such as a completion queue or the reader of the links.
///
/// Its owner joins it, once.
package final class Thread: Sendable {
    private let handle: pthread_t

    /// Starts `body` on a new thread.
    ///
    /// - Parameter name: shown by `top -H`; at most 15 bytes.
    package init(name: String, _ body: @escaping @Sendable () -> Void) {
        guard let handle = Self.start(name, body) else { preconditionFailure("cannot start thread \(name)") }
        self.handle = handle
    }

    /// Starts `body` on a thread that is not joined, for work that may block for long and ends by itself.
    ///
    /// - Returns: false where the system has no thread left; then `body` is not run.
    package static func detached(name: String, _ body: @escaping @Sendable () -> Void) -> Bool {
        guard let handle = start(name, body) else { return false }
        pthread_detach(handle)
        return true
    }

    private static func start(_ name: String, _ body: @escaping @Sendable () -> Void) -> pthread_t? {
        let start = Unmanaged.passRetained(Start(name: name, body: body))
        var handle = pthread_t()
        let code = pthread_create(
            &handle, nil,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                _ = dcf_prctl_name(start.name)
                start.body()
                return nil
            }, start.toOpaque())
        guard code == 0 else {
            start.release()
            return nil
        }
        return handle
    }

    /// Waits until the thread's body has returned. Call it once. On the thread itself it does not wait: the last
    /// reference to an object may be dropped on the object's own thread.
    package func join() {
        if pthread_equal(handle, pthread_self()) != 0 {
            pthread_detach(handle)
        } else {
            pthread_join(handle, nil)
        }
    }

    private final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = String(name.prefix(15))
            self.body = body
        }
    }
}
