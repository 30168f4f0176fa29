internal import Calls
internal import HTTPTypes
internal import NIOCore
internal import NIOHTTPTypes
internal import Platform

/// Translates the answer to one call of `/function` into a response.
///
/// A whole reply has a length. A reply in pieces is chunked, or is a stream of server-sent events
/// (https://html.spec.whatwg.org/multipage/server-sent-events.html) where the caller accepts those. A value.
struct FunctionReply {
    /// What follows the parts of a response so far.
    enum Next {
        case more
        /// The response is complete.
        case nothing
        /// The response can only be broken off, so that its caller learns that it is not complete.
        case breakOff
    }

    private let fields: HTTPFields
    private let arrived: MonotonicTime
    /// Whether the caller asks for server-sent events.
    private let wantsEvents: Bool
    /// Whether a whole reply is packed.
    let coding: ReplyCoding
    private var hasBegun = false
    /// Whether the response can have no content: one to HEAD, or one with such a status (RFC 9110, 15.3.5, 15.3.6 and
    /// 15.4.5).
    private var isBare: Bool

    /// - Parameter fields: the headers that every response has.
    init(to request: HTTPRequest, fields: HTTPFields, arrived: MonotonicTime) {
        self.fields = fields
        self.arrived = arrived
        isBare = request.method == .head
        let wantsEvents = Self.takesEvents(request.headerFields[.accept])
        self.wantsEvents = wantsEvents
        coding = ReplyCoding(wantsEvents ? nil : request.headerFields[.acceptEncoding])
    }

    /// Whether server-sent events are among the types that the caller names (RFC 9110, 12.5.1).
    private static func takesEvents(_ accepted: String?) -> Bool {
        guard let accepted = accepted?.lowercased() else { return false }
        return accepted.split(separator: ",").contains { type in
            let words = type.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" } }
            guard words.first == "text/event-stream" else { return false }
            return !words.dropFirst().contains { $0.hasPrefix("q=0") && (Double($0.dropFirst(2)) ?? 1) == 0 }
        }
    }

    /// Passes the parts of the response that a part of the answer gives to `write`.
    mutating func translate(_ part: AnswerPart, _ write: (HTTPResponsePart) -> Void) -> Next {
        switch part {
        case .failure(let failure):
            guard hasBegun else {
                send(failure, write)
                return .nothing
            }
            return fail(failure, write)
        case .reply(let content, let isText, let isPacked, let metadata) where !wantsEvents:
            var extra = described(metadata, isText: isText)
            if isPacked {
                extra[.contentEncoding] = "gzip"
                extra.append(HTTPField(name: .vary, value: "Accept-Encoding"))
            }
            send(metadata.httpStatus, extra, content, write)
            return .nothing
        case .reply(let content, let isText, _, let metadata):
            begin(metadata, isText: isText, write)
            guard let failure = send(piece: content, isText: isText, write) else { return end(write) }
            return fail(failure, write)
        case .piece(let content, let isText, _):
            begin(ReplyMetadata(), isText: isText, write)
            guard let failure = send(piece: content, isText: isText, write) else { return .more }
            return fail(failure, write)
        case .end(let metadata):
            begin(metadata, isText: true, write)
            return end(write)
        }
    }

    // MARK: A whole response

    private mutating func send(_ failure: CallFailure, _ write: (HTTPResponsePart) -> Void) {
        var extra = duration
        extra.append(contentsOf: failure.fields)
        extra.add(failure.metadata)
        extra[.contentType] = "text/plain; charset=utf-8"
        send(failure.status, extra, ByteBuffer(string: failure.message + "\n"), write)
    }

    private mutating func send(
        _ status: HTTPResponse.Status, _ extra: HTTPFields, _ content: ByteBuffer, _ write: (HTTPResponsePart) -> Void
    ) {
        var all = fields
        all.append(contentsOf: extra)
        bare(status, &all)
        if status.mayHaveContent { all[.contentLength] = "\(content.readableBytes)" }
        write(.head(HTTPResponse(status: status, headerFields: all)))
        if content.readableBytes > 0, !isBare { write(.body(content)) }
        write(.end(nil))
    }

    /// Notes whether a response with this status can have content.
    private mutating func bare(_ status: HTTPResponse.Status, _ fields: inout HTTPFields) {
        guard !status.mayHaveContent else { return }
        isBare = true
        fields[.contentType] = nil
        if status == .resetContent { fields[.contentLength] = "0" }
    }

    // MARK: A response in pieces

    private mutating func begin(
        _ metadata: ReplyMetadata, isText: Bool, _ write: (HTTPResponsePart) -> Void
    ) {
        guard !hasBegun else { return }
        hasBegun = true
        var all = fields
        all.append(contentsOf: described(metadata, isText: isText))
        if wantsEvents {
            all[.contentType] = "text/event-stream"
            // Proxies must not collect events.
            all[.cacheControl] = "no-cache"
            all[.accelBuffering] = "no"
        }
        bare(metadata.httpStatus, &all)
        write(.head(HTTPResponse(status: metadata.httpStatus, headerFields: all)))
    }

    /// - Returns: why it cannot be sent.
    private func send(
        piece content: ByteBuffer, isText: Bool, _ write: (HTTPResponsePart) -> Void
    ) -> CallFailure? {
        if wantsEvents, !isText, let offset = Self.firstBadByte(of: content) { return .pieceNotText(at: offset) }
        let wire = wantsEvents ? ServerSentEvent(content).buffer : content
        // An empty chunk would end the response.
        if wire.readableBytes > 0, !isBare { write(.body(wire)) }
        return nil
    }

    private func end(_ write: (HTTPResponsePart) -> Void) -> Next {
        write(.end(nil))
        return .nothing
    }

    /// Ends a stream that has begun: an event says why. Without events there is no way to say so.
    private func fail(_ failure: CallFailure, _ write: (HTTPResponsePart) -> Void) -> Next {
        guard wantsEvents else { return .breakOff }
        if !isBare { write(.body(ServerSentEvent(failure).buffer)) }
        return end(write)
    }

    private static func firstBadByte(of content: ByteBuffer) -> Int? {
        content.withUnsafeReadableBytes { bytes -> Int? in
            do throws(UTF8.ValidationError) {
                _ = try UTF8Span(validating: bytes.bindMemory(to: UInt8.self).span)
                return nil
            } catch {
                return error.byteOffsets.lowerBound
            }
        }
    }

    // MARK: Headers

    private func described(_ metadata: ReplyMetadata, isText: Bool) -> HTTPFields {
        var fields = duration
        fields.add(metadata)
        if !fields.contains(.contentType) {
            fields[.contentType] = isText ? "text/plain; charset=utf-8" : "application/octet-stream"
        }
        return fields
    }

    private var duration: HTTPFields {
        let micros = max(MonotonicTime.now.nanoseconds(since: arrived) / 1_000, 0)
        let fraction = "\(micros % 1_000_000)"
        var fields = HTTPFields()
        fields[.duration] = "\(micros / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
        return fields
    }
}

extension HTTPResponse.Status {
    /// Whether a response with this status may have content.
    fileprivate var mayHaveContent: Bool { code != 204 && code != 205 && code != 304 }
}
