internal import HTTPTypes
internal import NIOCore
internal import NIOHTTP1

/// A request that breaks a rule of HTTP/1.1, and what is said of it.
struct RefusedRequest: Error {
    let status: HTTPResponse.Status
    let message: String
}

/// The rules of HTTP/1.1 that neither the parser nor the parts behind it keep: one `Host`, the target's own host, clients
/// of HTTP/1.0, upgrades that are not made, and how the end of a response is told.
///
/// It stands between the parser and everything that no longer knows the version of a request. Used on the event loop
/// alone.
final class HTTP1Rules: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// What a response must know of its request.
    private struct Asked {
        let isHead: Bool
        /// Whether the client speaks HTTP/1.0, which knows no chunks.
        let isOld: Bool
    }

    private var asked = CircularBuffer<Asked>()
    /// Whether only the end of the connection tells the end of the response that is being written.
    private var endsWithConnection = false

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(var head) = unwrapInboundIn(data) else { return context.fireChannelRead(data) }
        if let refusal = Self.refusal(of: head) { return context.fireErrorCaught(refusal) }
        let isOld = head.version.major == 1 && head.version.minor == 0
        if isOld {
            // RFC 9112, 9.3, and RFC 9110, 10.1.1.
            if !head.headers[canonicalForm: "connection"].contains(where: { $0.lowercased() == "keep-alive" }) {
                head.headers.replaceOrAdd(name: "connection", value: "close")
            }
            head.headers.remove(name: "expect")
        }
        if head.headers.contains(name: "upgrade") || head.method == .CONNECT {
            // The parser reads no further requests after it.
            head.headers.remove(name: "upgrade")
            head.headers.replaceOrAdd(name: "connection", value: "close")
        }
        // The target's host counts (RFC 9112, 3.2.2).
        if let host = Self.host(of: head.uri) { head.headers.replaceOrAdd(name: "host", value: host) }
        asked.append(Asked(isHead: head.method == .HEAD, isOld: isOld))
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    private static func refusal(of head: HTTPRequestHead) -> RefusedRequest? {
        guard head.headers["host"].count <= 1 else {
            return RefusedRequest(status: .badRequest, message: "the request has more than one Host")
        }
        let codings = head.headers["transfer-encoding"]
        guard codings.isEmpty || (codings.count == 1 && codings[0].lowercased() == "chunked") else {
            return RefusedRequest(
                status: .notImplemented, message: "the only Transfer-Encoding that is understood is chunked")
        }
        return nil
    }

    /// The host in a target that is a whole URL.
    private static func host(of target: String) -> String? {
        guard target.hasPrefix("http://") else { return nil }
        return String(target.dropFirst("http://".count).prefix { $0 != "/" && $0 != "?" })
    }

    // MARK: Responses

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head):
            frame(&head)
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .body: context.write(data, promise: promise)
        case .end:
            guard endsWithConnection else { return context.write(data, promise: promise) }
            context.writeAndClose(data, promise: promise)
        }
    }

    /// Says in the head where the response ends.
    private func frame(_ head: inout HTTPResponseHead) {
        guard head.status.code >= 200 else { return }
        let asked = asked.popFirst() ?? Asked(isHead: false, isOld: false)
        endsWithConnection = false
        head.headers.remove(name: "transfer-encoding")
        guard head.status.mayHaveResponseBody, !asked.isHead, !head.headers.contains(name: "content-length") else {
            return
        }
        guard asked.isOld else { return head.headers.add(name: "transfer-encoding", value: "chunked") }
        head.headers.replaceOrAdd(name: "connection", value: "close")
        endsWithConnection = true
    }
}

@available(*, unavailable)
extension HTTP1Rules: Sendable {}
