import CPython

/// What the handler's threads, the event loop and the module's functions share while calls are served.
///
/// A handle: copies share the memory, which lives as long as the process.
struct Service {
    let socket: LinkSocket
    let output: OutputBuffer
    let inbox: LinkInbox
    let activity: HandlerActivity
    let runtime: RuntimeCallbacks

    init(socket: LinkSocket, runtime: RuntimeCallbacks) {
        self.socket = socket
        self.runtime = runtime
        output = OutputBuffer()
        activity = HandlerActivity()
        inbox = LinkInbox(socket: socket, output: output)
    }
}
