import CPython

/// The parts that the handler's threads, the event loop and the module's functions share while they serve calls.
///
/// A handle: copies share the memory, which lives as long as the process.
struct Serving {
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
