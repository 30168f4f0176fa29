internal import HummingbirdCore
internal import HummingbirdHTTP2
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes
internal import NIOHTTPTypesHTTP1
internal import NIOPosix
internal import Platform

/// Serves HTTP/1.1 and HTTP/2 on the connections that it is given. It has no listener.
///
/// Its life: `init`, any number of `adopt`, `shutdown`, `closeAll` when the requests are out of time, and `stop`. Any
/// thread may call it.
final class HTTPServer: Sendable {
    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        var isShutDown = false
        var ended: Promise<Void>?
    }

    private let group: MultiThreadedEventLoopGroup
    private let limits: HTTPLimits
    private let logger: Logger
    private let state = Lock(State())

    init(limits: HTTPLimits, logger: Logger) {
        group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, Processors.count / 2))
        self.limits = limits
        self.logger = logger
    }

    /// Adds a connection by its connected, non-blocking socket, which the server owns from now on.
    func adopt(_ descriptor: Int32, _ spoken: ConnectionProtocol, for service: HTTPService) {
        let loop = group.next()
        let executor = EventLoopExecutor(loop)
        ClientBootstrap(group: loop)
            .channelInitializer { [self] channel in
                keep(channel)
                switch spoken {
                case .http1: return serve(HTTP1Connection(service, self.limits), on: channel, executor)
                case .http2:
                    do { try channel.pipeline.syncOperations.addHandler(CloseAfterWrites()) } catch {
                        return channel.eventLoop.makeFailedFuture(error)
                    }
                    return serve(http2(service), on: channel, executor)
                }
            }
            .withConnectedSocket(descriptor)
            .whenFailure { [logger] error in logger.debug("a connection was lost before it was served: \(error)") }
    }

    private func serve(
        _ connection: some ServerChildChannel, on channel: any Channel, _ executor: EventLoopExecutor
    ) -> EventLoopFuture<Void> {
        connection.setup(channel: channel, logger: logger).map { [logger] value in
            Task(executorPreference: executor) { await connection.handle(value: value, logger: logger) }
        }
    }

    private func http2(_ service: HTTPService) -> HTTP2Channel {
        let watched = HTTP1Channel.Configuration(
            additionalChannelHandlers: [RequestWatch(self.limits), CallHandler(service, .http2)])
        return HTTP2Channel(
            responder: { request, writer, channel in try await service.respond(to: request, writer, channel) },
            configuration: HTTP2ChannelConfiguration(
                idleTimeout: limits.idleTimeout, gracefulCloseTimeout: limits.idleTimeout,
                streamConfiguration: watched))
    }

    /// Keeps a channel until it is closed.
    private func keep(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        let isShutDown = state.withLock { state in
            state.channels[id] = channel
            return state.isShutDown
        }
        channel.closeFuture.whenComplete { [self] _ in forget(id) }
        if isShutDown { channel.close(promise: nil) }
    }

    private func forget(_ id: ObjectIdentifier) {
        let ended = state.withLock { state in
            state.channels[id] = nil
            return state.channels.isEmpty ? state.ended : nil
        }
        ended?.settle(())
    }

    /// Tells each connection that it gets no more requests, and returns when all are closed. It does so even when its
    /// task is cancelled.
    func shutdown() async {
        let ended = Promise<Void>()
        let channels = state.withLock { state in
            state.isShutDown = true
            state.ended = ended
            return Array(state.channels.values)
        }
        guard !channels.isEmpty else { return }
        for channel in channels { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
        // A cancelled task would not wait.
        await Task { _ = await ended.value() }.value
    }

    /// Closes every connection at once. A `shutdown` that waits for them then returns.
    func closeAll() {
        for channel in state.withLock({ Array($0.channels.values) }) { channel.close(promise: nil) }
    }

    /// Ends the threads. No connection may be open.
    func stop() {
        try? group.syncShutdownGracefully()
    }
}

/// A connection of HTTP/1.1. From the socket on: the watch over heads, the parser, the watch over requests, what closes
/// an idle connection, the calls, and last the routes.
private struct HTTP1Connection: HTTPChannelHandler {
    typealias Value = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

    private let service: HTTPService
    private let limits: HTTPLimits

    init(_ service: HTTPService, _ limits: HTTPLimits) {
        self.service = service
        self.limits = limits
    }

    var responder: Responder {
        { [service] request, writer, channel in try await service.respond(to: request, writer, channel) }
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            let watch = RequestWatch(limits)
            try pipeline.addHandler(HeadWatch(watch))
            var decoder = NIOHTTPDecoderLimitConfiguration()
            decoder.maxHeaderFieldSize = limits.headBytes
            decoder.maxHeaderListSize = limits.headBytes
            decoder.maxHeaderFieldCount = 256
            var encoder = HTTPResponseEncoder.Configuration()
            encoder.automaticallySetFramingHeaders = false
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: false, withErrorHandling: false, withOutboundHeaderValidation: false,
                withEncoderConfiguration: encoder,
                withDecoderLimitConfiguration: decoder)
            try pipeline.addHandlers([
                HTTP1Rules(), HTTP1ToHTTPServerCodec(secure: false), watch,
                HTTPConnectionStateHandler(idleTimeout: limits.idleTimeout, logger: logger),
                CallHandler(service, .http1),
            ])
            return try NIOAsyncChannel(
                wrappingChannelSynchronously: channel,
                configuration: NIOAsyncChannel.Configuration(isOutboundHalfClosureEnabled: true))
        }
    }

    func handle(value: Value, logger: Logger) async {
        await handleHTTP(asyncChannel: value, logger: logger)
    }
}

extension Duration {
    /// The duration as NIO writes it.
    var amount: TimeAmount {
        .nanoseconds(nanosecondsClamped)
    }
}
