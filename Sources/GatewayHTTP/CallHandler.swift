internal import Calls
internal import FunctionConfig
internal import HTTPTypes
internal import NIOCore
internal import NIOHTTPTypes
internal import Platform

/// Serves the calls of one connection, or of one stream of HTTP/2: requests for `/function/NAME` become calls here, and
/// all others go on to the routes.
///
/// Nothing here waits, and no task is made: a request is read, its call begins and its answer is written on the event
/// loop. Requests that are sent ahead are held until the one before them is answered. Used on the event loop alone.
final class CallHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// How many parts of requests that were sent ahead are held before no more are read.
    private static let heldMax = 16
    /// How much of a body that nobody wants is read, and for how long, before the connection is closed: a caller that
    /// is still sending would otherwise lose the answer.
    private static let lingerBytes = 1 << 20
    private static let lingerTime = TimeAmount.seconds(1)
    /// A whole reply is sent in slices: the connection is closed where it does not take one within `http-idle`.
    private static let sliceBytes = 1 << 20

    private enum Phase {
        case idle
        /// The routes have the request. It ends when both the request and its answer are complete.
        case passing(Passing)
        case serving(Serving)
    }

    private let service: HTTPService
    private let spoken: ConnectionProtocol
    private var phase = Phase.idle
    private var held = CircularBuffer<HTTPRequestPart>()
    /// Whether `goOn` is under way.
    private var isGoingOn = false
    /// Whether the channel has asked for more while too much was held.
    private var isReadHeld = false
    private var lingerTimer: Scheduled<Void>?

    init(_ service: HTTPService, _ spoken: ConnectionProtocol) {
        self.service = service
        self.spoken = spoken
    }

    // MARK: What comes

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if isRequestWhole { held.append(part) } else { receive(part, context) }
    }

    /// Whether the current request is complete. What comes belongs to the next then.
    private var isRequestWhole: Bool {
        switch phase {
        case .idle: false
        case .passing(let passing): passing.isWhole
        case .serving(let serving): serving.isWhole
        }
    }

    func read(context: ChannelHandlerContext) {
        if held.count < Self.heldMax { context.read() } else { isReadHeld = true }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // A stream of HTTP/2 ends with its answer. Hummingbird's handler does not know of calls, and would close it.
        if spoken == .http2, event is ChannelShouldQuiesceEvent, case .serving = phase { return }
        context.fireUserInboundEventTriggered(event)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        // Not channelInactive: Hummingbird's handlers before this one do not pass it on.
        let loopBound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.channel.closeFuture.whenComplete { _ in loopBound.value.closed() }
    }

    /// The caller has left.
    private func closed() {
        lingerTimer?.cancel()
        if case .serving(let serving) = phase { end(serving) }
        phase = .idle
        held.removeAll()
    }

    private func receive(_ part: HTTPRequestPart, _ context: ChannelHandlerContext) {
        switch (phase, part) {
        case (.idle, .head(let head)): begin(head, context)
        case (.passing(let passing), .end):
            passing.isWhole = true
            context.fireChannelRead(wrapInboundOut(part))
            if passing.isAnswered { goOn(context) }
        case (.passing, _): context.fireChannelRead(wrapInboundOut(part))
        case (.serving(let serving), .body(let piece)): add(piece, to: serving, context)
        case (.serving(let serving), .end):
            serving.isWhole = true
            call(serving, context)
            if serving.isAnswered { finish(serving, context) }
        case (.idle, _), (.serving, .head): break
        }
    }

    private func begin(_ head: HTTPRequest, _ context: ChannelHandlerContext) {
        let called = FunctionTarget(head.path ?? "")
        let common = service.admit(head, at: context.channel.localAddress?.ipAddress)
        let closes = spoken == .http1 && (service.isDraining || Self.asksToClose(head.headerFields))
        guard called != nil || common.refusal != nil else {
            phase = .passing(Passing(closes: closes))
            return context.fireChannelRead(wrapInboundOut(.head(head)))
        }
        let target = called ?? .none
        let serving = Serving(head, target, common.fields)
        serving.closes = closes
        phase = .serving(serving)
        service.requestBegan()
        if let refusal = common.refusal {
            return answer(serving, refusal, context)
        }
        do throws(CallFailure) {
            serving.deadline = try Self.deadline(of: head.headerFields, serving.arrived)
            if let namespace = target.foreignNamespace { throw .unknownNamespace(namespace) }
            serving.body = try BodyReceiver(
                head.headerFields, upTo: service.maxInputBytes, budget: service.inputs)
            guard let expected = head.headerFields[.expect]?.lowercased() else { return }
            guard expected == "100-continue" else { throw .unknownExpectation(expected) }
            context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
        } catch {
            refuse(serving, error, context)
        }
    }

    private func add(_ piece: ByteBuffer, to serving: Serving, _ context: ChannelHandlerContext) {
        if serving.body != nil {
            do throws(CallFailure) { try serving.body?.receive(piece) } catch { refuse(serving, error, context) }
        } else {
            serving.dropped += piece.readableBytes
            if serving.isAnswered, serving.dropped > Self.lingerBytes { context.close(promise: nil) }
        }
    }

    /// Whether `close` is among the options of the connection (RFC 9110, 7.6.1).
    private static func asksToClose(_ fields: HTTPFields) -> Bool {
        guard let options = fields[.connection] else { return false }
        return options.lowercased().split(separator: ",").contains { option in
            option.trimmingPrefix { $0 == " " }.prefix { $0 != " " } == "close"
        }
    }

    private static func deadline(of fields: HTTPFields, _ arrived: MonotonicTime) throws(CallFailure) -> MonotonicTime {
        guard let text = fields[.timeout] else { return .never }
        guard let time = Duration(text: text), time > .zero else { throw .badTimeout(text) }
        return arrived.advanced(by: time)
    }

    // MARK: The call

    private func call(_ serving: Serving, _ context: ChannelHandlerContext) {
        guard let body = serving.body.take() else { return }
        do throws(CallFailure) {
            let input = try body.finish()
            let (responder, invocation) = prepare(serving, context)
            serving.call = service.invoker.invoke(serving.target.function, input, invocation, responder)
        } catch {
            refuse(serving, error, context)
        }
    }

    /// Ends the call before it has begun.
    private func refuse(_ serving: Serving, _ failure: CallFailure, _ context: ChannelHandlerContext) {
        serving.body = nil
        let (responder, invocation) = prepare(serving, context)
        service.invoker.refuse(failure, function: serving.target.function, invocation, responder)
    }

    private func prepare(_ serving: Serving, _ context: ChannelHandlerContext) -> (HTTPAnswer, InvocationContext) {
        let loopBound = NIOLoopBound((self, serving, context), eventLoop: context.eventLoop)
        let answer = HTTPAnswer(
            replies: service.replies, coding: serving.reply.coding, on: context.eventLoop
        ) { part in
            let (handler, serving, context) = loopBound.value
            handler.answered(serving, part, context)
        }
        serving.answer = answer
        let invocation = InvocationContext(
            metadata: serving.metadata, arrived: serving.arrived, deadline: serving.deadline, wantsPieces: true)
        return (answer, invocation)
    }

    // MARK: The answer

    /// A part of the answer has come.
    private func answered(_ serving: Serving, _ part: AnswerPart, _ context: ChannelHandlerContext) {
        guard !serving.isEnding, case .serving(let current) = phase, current === serving else { return }
        var head: HTTPResponse?
        var body: ByteBuffer?
        let next = serving.reply.translate(part) { part in
            switch part {
            case .head(let made): head = made
            case .body(let made): body = made
            case .end: break
            }
        }
        var taken: (@Sendable () -> Void)?
        if let answer = serving.answer {
            switch part {
            case .reply(let content, _, _, _):
                let count = content.readableBytes
                taken = { answer.sent(count) }
            case .piece(let content, _, let source):
                let count = content.readableBytes
                taken = {
                    answer.sent(count)
                    source.taken(count)
                }
                if case .nothing = next { serving.call?.cancel() }
            case .end, .failure: break
            }
        }
        switch next {
        case .more: send(serving, head, body, isLast: false, context, taken: taken)
        case .nothing: send(serving, head, body, isLast: true, context, taken: taken)
        case .breakOff:
            serving.isEnding = true
            close(after: serving.written, context)
        }
    }

    /// Answers a request that is not a call.
    private func answer(_ serving: Serving, _ refusal: HTTPRefusal, _ context: ChannelHandlerContext) {
        var fields = serving.fields
        fields.append(contentsOf: refusal.fields)
        let content = ByteBuffer(string: refusal.text)
        if refusal.status != .noContent { fields[.contentLength] = "\(content.readableBytes)" }
        let hasContent = content.readableBytes > 0 && serving.method != .head
        send(
            serving, HTTPResponse(status: refusal.status, headerFields: fields), hasContent ? content : nil,
            isLast: true, context)
    }

    /// Sends a part of the response. The response ends, and the connection goes on, only when the socket has taken
    /// everything before: so a caller that does not read gets no further answers, and none is cut off by a close.
    ///
    /// - Parameter taken: called when the socket has taken it, or when it is lost.
    private func send(
        _ serving: Serving, _ head: HTTPResponse?, _ body: ByteBuffer?, isLast: Bool, _ context: ChannelHandlerContext,
        taken: (@Sendable () -> Void)? = nil
    ) {
        if isLast { serving.isEnding = true }
        let written = context.eventLoop.makePromise(of: Void.self)
        serving.written = written.futureResult
        var rest = body ?? ByteBuffer()
        let slice = rest.readSlice(length: min(rest.readableBytes, Self.sliceBytes)) ?? ByteBuffer()
        let loopBound = NIOLoopBound((self, serving, context, rest), eventLoop: context.eventLoop)
        written.futureResult.whenComplete { result in
            let (handler, serving, context, rest) = loopBound.value
            serving.stallTimer?.cancel()
            serving.stallTimer = nil
            guard case .success = result, !serving.isAnswered else {
                taken?()
                return
            }
            if rest.readableBytes > 0 {
                return handler.send(serving, nil, rest, isLast: isLast, context, taken: taken)
            }
            taken?()
            if isLast { handler.finishResponse(serving, context) }
        }
        switch (head, slice.readableBytes > 0) {
        case (let head?, true):
            context.write(wrapOutboundOut(closing(head, serving)), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.body(slice)), promise: written)
        case (let head?, false): context.writeAndFlush(wrapOutboundOut(closing(head, serving)), promise: written)
        case (nil, true): context.writeAndFlush(wrapOutboundOut(.body(slice)), promise: written)
        case (nil, false): written.succeed()
        }
        guard isLast, !serving.isAnswered, serving.written === written.futureResult else { return }
        let own = NIOLoopBound(context, eventLoop: context.eventLoop)
        serving.stallTimer = context.eventLoop.scheduleTask(in: service.idleTimeout) { own.value.close(promise: nil) }
    }

    /// Ends a response that the socket has taken.
    private func finishResponse(_ serving: Serving, _ context: ChannelHandlerContext) {
        if serving.closes || !serving.isWhole {
            let written = context.eventLoop.makePromise(of: Void.self)
            serving.written = written.futureResult
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: written)
        } else {
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
        complete(serving, context)
    }

    private func close(after written: EventLoopFuture<Void>?, _ context: ChannelHandlerContext) {
        let channel = context.channel
        guard let written else { return channel.close(promise: nil) }
        written.whenComplete { _ in channel.close(promise: nil) }
    }

    /// Says in the head of the response whether the connection ends with it.
    private func closing(_ head: HTTPResponse, _ serving: Serving) -> HTTPResponsePart {
        guard spoken == .http1 else { return .head(head) }
        if !serving.isWhole, serving.hasBody { serving.closes = true }
        guard serving.closes || service.isDraining else { return .head(head) }
        serving.closes = true
        var head = head
        head.headerFields[.connection] = "close"
        return .head(head)
    }

    /// The response is complete.
    private func complete(_ serving: Serving, _ context: ChannelHandlerContext) {
        end(serving)
        if serving.isWhole { return finish(serving, context) }
        let loopBound = NIOLoopBound(context, eventLoop: context.eventLoop)
        lingerTimer = context.eventLoop.scheduleTask(in: Self.lingerTime) { loopBound.value.close(promise: nil) }
    }

    /// The request is complete, and so is its response.
    private func finish(_ serving: Serving, _ context: ChannelHandlerContext) {
        lingerTimer?.cancel()
        lingerTimer = nil
        if serving.closes { return close(after: serving.written, context) }
        goOn(context)
    }

    /// Goes on with what is held.
    private func goOn(_ context: ChannelHandlerContext) {
        phase = .idle
        guard !isGoingOn else { return }
        isGoingOn = true
        var hasPassed = false
        while !isRequestWhole, let part = held.popFirst() {
            receive(part, context)
            if case .passing = phase { hasPassed = true }
        }
        isGoingOn = false
        // What reads the requests for the routes takes them at the end of a read.
        if hasPassed { context.fireChannelReadComplete() }
        guard isReadHeld, held.count < Self.heldMax else { return }
        isReadHeld = false
        context.read()
    }

    /// Nothing more is done for the call.
    private func end(_ serving: Serving) {
        guard !serving.isAnswered else { return }
        serving.isAnswered = true
        serving.stallTimer?.cancel()
        serving.stallTimer = nil
        if !serving.isEnding { serving.call?.cancel() }
        serving.call = nil
        serving.answer = nil
        serving.body = nil
        service.requestEnded()
    }

    // MARK: What the routes answer

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .passing(let passing) = phase else { return context.write(data, promise: promise) }
        switch unwrapOutboundIn(data) {
        case .head(var head) where passing.closes:
            head.headerFields[.connection] = "close"
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .head, .body: context.write(data, promise: promise)
        case .end:
            passing.isAnswered = true
            guard !passing.closes else { return context.writeAndClose(data, promise: promise) }
            context.write(data, promise: promise)
            if passing.isWhole { goOn(context) }
        }
    }
}

@available(*, unavailable)
extension CallHandler: Sendable {}

/// One request that the routes answer. Used on the event loop alone.
private final class Passing {
    /// Whether the connection ends with the response.
    let closes: Bool
    /// Whether the request is complete.
    var isWhole = false
    /// Whether its response is complete.
    var isAnswered = false

    init(closes: Bool) {
        self.closes = closes
    }
}

/// One request for a function, until it is answered. Used on the event loop alone.
private final class Serving {
    let arrived = MonotonicTime.now
    let target: FunctionTarget
    let method: HTTPRequest.Method
    let metadata: RequestMetadata
    /// Headers that the response has whatever it is.
    let fields: HTTPFields
    var deadline = MonotonicTime.never
    var reply: FunctionReply
    /// The body as it comes; nil when it is complete, or is not wanted.
    var body: BodyReceiver?
    /// Whether the request is complete.
    var isWhole = false
    /// Whether the last part of its response is being sent.
    var isEnding = false
    /// Whether its response is complete, or cannot be completed.
    var isAnswered = false
    /// Whether the connection ends with the response.
    var closes = false
    /// Whether the head announces a body.
    let hasBody: Bool
    /// When what was sent last is taken.
    var written: EventLoopFuture<Void>?
    var stallTimer: Scheduled<Void>?
    /// How many bytes of the body were not wanted.
    var dropped = 0
    var call: CallHandle?
    var answer: HTTPAnswer?

    init(_ head: HTTPRequest, _ target: FunctionTarget, _ fields: HTTPFields) {
        self.target = target
        method = head.method
        hasBody =
            head.headerFields[.contentLength].map { $0 != "0" } ?? head.headerFields.contains(.transferEncoding)
        metadata = RequestMetadata(head, target: target)
        var fields = fields
        fields.add(metadata)
        fields[.callID] = metadata.requestID
        self.fields = fields
        reply = FunctionReply(to: head, fields: fields, arrived: arrived)
    }
}
