internal import NIOCore

extension ChannelHandlerContext {
    /// Writes the last part of a connection, and closes the connection when the socket has taken it.
    func writeAndClose(_ data: NIOAny, promise: EventLoopPromise<Void>? = nil) {
        let written = promise ?? eventLoop.makePromise(of: Void.self)
        let channel = channel
        written.futureResult.whenComplete { _ in channel.close(promise: nil) }
        writeAndFlush(data, promise: written)
    }
}

/// Lets what was written leave before its connection is closed.
///
/// In a drain, Hummingbird closes a connection of HTTP/2 while the frame that ends its last stream is being written. That
/// frame would be lost, and the client would take its response for broken off. Used on the event loop alone.
final class CloseAfterWrites: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How long a client that does not read can delay the close.
    private static let timeout = TimeAmount.seconds(1)

    private var isClosing = false

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard case .all = mode else { return context.close(mode: mode, promise: promise) }
        guard !isClosing else {
            context.channel.closeFuture.cascade(to: promise)
            return
        }
        isClosing = true
        let own = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.channel.closeFuture.cascade(to: promise)
        // What is being written now comes here after this event.
        context.eventLoop.execute {
            let context = own.value
            let written = context.eventLoop.makePromise(of: Void.self)
            let timer = context.eventLoop.scheduleTask(in: Self.timeout) { own.value.close(promise: nil) }
            written.futureResult.whenComplete { _ in
                timer.cancel()
                own.value.close(promise: nil)
            }
            context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer()), promise: written)
        }
    }
}

@available(*, unavailable)
extension CloseAfterWrites: Sendable {}
