internal import WatcherLink

/// The end of a call that a watcher told, on its way to whoever made the call.
struct LinkAnswer {
    /// Where its bytes lie in the reader's buffer.
    let frame: FrameReader.Frame
    /// The call; nil before the route has found it, and when it is not known any more.
    var invocation: Invocation?

    init(_ frame: FrameReader.Frame) {
        self.frame = frame
    }

    /// The call's id on the link.
    var id: UInt64 { frame.header.id }
}
