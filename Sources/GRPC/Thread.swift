internal import CLinux
internal import Glibc

/// A thread of our own, for work that must never wait behind somebody else's: completion queues, the links' reader.
///
/// Whoever starts it joins it.
package final class Thread: Sendable {
    private let handle: pthread_t

    /// Starts `body` on a new thread.
    ///
    /// - Parameter name: what `top -H` shows, 15 bytes at most.
    package init(name: String, _ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Start(name: name, body: body))
        var handle = pthread_t()
        let code = pthread_create(
            &handle, nil,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                _ = dcf_prctl_name(start.name)
                start.body()
                return nil
            }, box.toOpaque())
        precondition(code == 0, "cannot start thread \(name): error \(code)")
        self.handle = handle
    }

    /// Waits until the thread's body has returned. Call it once. On the thread itself it does not wait: whoever lets go of
    /// something last may be the thread that works for it.
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
