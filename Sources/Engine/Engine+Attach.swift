internal import NIOCore
internal import NIOPosix

extension Engine {
    /// Follows the output of a container and sends its standard input. To miss nothing, attach before the start.
    ///
    /// Returns when the container ends, or at once if the container has ended. Cancelling the task ends the call too.
    ///
    /// - Parameters:
    ///   - input: the parts of the standard input, which ends after the last part. Needs `takesInput` in the
    ///     container's spec. Nil sends nothing.
    ///   - onAttached: called once the engine forwards the output. Nothing that the container writes later is missed.
    ///   - receive: called with each part of the output, in order.
    package func attach(
        _ id: String, input: (any AsyncSequence<[UInt8], Never> & Sendable)? = nil, onAttached: () -> Void,
        _ receive: (ContainerOutput, [UInt8]) -> Void
    ) async throws(EngineError) {
        let what = "cannot follow what container \(id.prefix(12)) writes"
        let flags = "stream=1&stdout=1&stderr=1" + (input == nil ? "" : "&stdin=1")
        let version = try await version(doing: what)
        // After the answer the connection carries raw bytes both ways instead of HTTP.
        let head = """
            POST /v\(version)/containers/\(id)/attach?\(flags) HTTP/1.1\r
            Host: docker\r
            Connection: Upgrade\r
            Upgrade: tcp\r
            Content-Length: 0\r
            \r\n
            """
        do {
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelOption(.allowRemoteHalfClosure, value: true)
                .connect(unixDomainSocketPath: endpoint.path) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                            wrappingChannelSynchronously: channel,
                            configuration: .init(isOutboundHalfClosureEnabled: true))
                    }
                }
            try await channel.executeThenClose { inbound, outbound in
                try await outbound.write(ByteBuffer(string: head))
                var answer = AttachAnswer(what: what)
                var frames = LogFrames()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for try await part in inbound {
                        if !answer.isComplete {
                            guard let rest = try answer.feed(part.readableBytesView) else { continue }
                            onAttached()
                            if let input {
                                group.addTask {
                                    for await part in input { try await outbound.write(ByteBuffer(bytes: part)) }
                                    outbound.finish()
                                }
                            }
                            frames.feed(rest, receive)
                        } else {
                            frames.feed(part.readableBytesView, receive)
                        }
                    }
                    // A container may end before it has read all of its input.
                    group.cancelAll()
                    while await group.nextResult() != nil {}
                }
                guard answer.isComplete else {
                    throw EngineError(.broken, "\(what): the engine closed the connection")
                }
            }
        } catch let error as EngineError {
            if EngineMessage.otherVersion.isSaid(in: error.description) { forgetVersion() }
            throw error
        } catch is CancellationError {
            throw EngineError(.failed, "\(what): cancelled")
        } catch {
            throw failure(error, doing: what)
        }
    }
}
