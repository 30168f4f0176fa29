internal import HTTPTypes
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes

/// Watches over how the requests of one connection come: a head that takes too long, a body that takes too long, and
/// bytes that are not HTTP each end the connection, with an answer where one can still be given.
///
/// It has two places in the pipeline, because a head that is not complete shows only in the bytes: ``HeadWatch`` there,
/// and itself behind the parser. Used on the connection's event loop alone.
final class RequestWatch: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// A body that has brought this much when its time is up gets the same time again.
    private static let bodyProgressBytes = 1 << 20

    private let headTimeout: TimeAmount
    private let bodyTimeout: TimeAmount
    private var headTimer: Scheduled<Void>?
    private var bodyTimer: Scheduled<Void>?
    /// How many bytes of the body have come since its timer was started.
    private var bodyBytes = 0
    /// Whether bytes have come that no request was made of yet.
    private var hasBytes = false
    /// How many requests have begun and are not answered.
    private var unanswered = 0
    /// Whether a head was read and its body is not complete.
    private var isInBody = false
    /// Whether the head of an answer was written and the answer is not complete.
    private var isAnswering = false
    private var isEnded = false

    init(_ limits: HTTPLimits) {
        headTimeout = limits.headTimeout.amount
        bodyTimeout = limits.bodyTimeout.amount
    }

    // MARK: What comes

    /// Bytes have come, before the parser sees them.
    func willParse(_ context: ChannelHandlerContext) {
        guard !isInBody, !isEnded else { return }
        hasBytes = true
        // A head that comes while another request is under way is waited for once that is answered.
        if unanswered == 0 { startHeadTimer(context.pipeline, context.eventLoop) }
    }

    private func startHeadTimer(_ pipeline: ChannelPipeline, _ loop: any EventLoop) {
        guard headTimer == nil else { return }
        headTimer = loop.assumeIsolated().scheduleTask(in: headTimeout) { [self] in
            headTimer = nil
            guard let context = try? pipeline.syncOperations.context(handler: self) else { return }
            end(context, .requestTimeout, "the head of the request did not come in time (http-head-timeout)")
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isEnded else { return }
        switch unwrapInboundIn(data) {
        case .head:
            headTimer?.cancel()
            headTimer = nil
            hasBytes = false
            isInBody = true
            unanswered += 1
        case .body(let piece): bodyBytes += piece.readableBytes
        case .end:
            isInBody = false
            bodyTimer?.cancel()
            bodyTimer = nil
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // Most bodies come with their heads, and need no timer.
        if isInBody, bodyTimer == nil, !isEnded { startBodyTimer(context.pipeline, context.eventLoop) }
        context.fireChannelReadComplete()
    }

    private func startBodyTimer(_ pipeline: ChannelPipeline, _ loop: any EventLoop) {
        bodyBytes = 0
        bodyTimer = loop.assumeIsolated().scheduleTask(in: bodyTimeout) { [self] in
            bodyTimer = nil
            guard let context = try? pipeline.syncOperations.context(handler: self) else { return }
            guard bodyBytes < Self.bodyProgressBytes else { return startBodyTimer(pipeline, loop) }
            end(context, .requestTimeout, "the body of the request did not come in time (http-body-timeout)")
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let refused = error as? RefusedRequest { return end(context, refused.status, refused.message) }
        guard let error = error as? HTTPParserError else { return context.fireErrorCaught(error) }
        // Bytes after a request that asks to close the connection are ignored (RFC 9112, 9.6).
        guard error != .closedConnection else { return }
        if error == .headerOverflow {
            end(context, .requestHeaderFieldsTooLarge, "the head of the request is too large (http-head)")
        } else {
            end(context, .badRequest, "the request is not HTTP: \(error)")
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        cancelTimers()
        if isInBody, !isEnded { context.fireErrorCaught(BrokenOff()) }
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        cancelTimers()
    }

    private func cancelTimers() {
        headTimer?.cancel()
        bodyTimer?.cancel()
        headTimer = nil
        bodyTimer = nil
    }

    // MARK: What is answered

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !isEnded else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch unwrapOutboundIn(data) {
        case .head(let head): isAnswering = head.status.code >= 200
        case .body: break
        case .end:
            isAnswering = false
            unanswered -= 1
            if unanswered == 0, hasBytes { startHeadTimer(context.pipeline, context.eventLoop) }
        }
        context.write(data, promise: promise)
    }

    /// Ends the connection. The answer is for the request that is coming: where one before it is not answered yet, or
    /// an answer has begun, nothing can be said.
    private func end(_ context: ChannelHandlerContext, _ status: HTTPResponse.Status, _ message: String) {
        guard !isEnded else { return }
        isEnded = true
        cancelTimers()
        if !isAnswering, unanswered == (isInBody ? 1 : 0) {
            let body = ByteBuffer(string: message + "\n")
            var fields = HTTPFields()
            fields[.connection] = "close"
            fields[.contentType] = "text/plain; charset=utf-8"
            fields[.contentLength] = "\(body.readableBytes)"
            context.write(wrapOutboundOut(.head(HTTPResponse(status: status, headerFields: fields))), promise: nil)
            context.write(wrapOutboundOut(.body(body)), promise: nil)
            context.writeAndClose(wrapOutboundOut(.end(nil)))
        } else {
            context.close(promise: nil)
        }
        // What reads the body learns that the rest does not come.
        if isInBody { context.fireErrorCaught(BrokenOff()) }
    }
}

/// Tells a ``RequestWatch`` of bytes before they are parsed.
final class HeadWatch: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let watch: RequestWatch

    init(_ watch: RequestWatch) {
        self.watch = watch
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        watch.willParse(context)
        context.fireChannelRead(data)
    }
}

@available(*, unavailable)
extension RequestWatch: Sendable {}
@available(*, unavailable)
extension HeadWatch: Sendable {}

/// The connection ended before the body did.
struct BrokenOff: Error {}
