internal import Calls
internal import HTTPTypes
internal import NIOCore
internal import Platform

extension HeaderPolicy {
    /// The headers of HTTP's own that go no further: those of one hop (RFC 9110, 7.6.1), and on the way to the caller
    /// also those that the front sets itself, and values that HTTP cannot carry.
    static let http = HeaderPolicy { name, value in
        guard let first = name.first else { return true }
        switch first {
        case UInt8(ascii: ":"): return value != nil
        // The gateway itself says which pages may read what.
        case UInt8(ascii: "a"): if value != nil, name.hasPrefix("access-control-") { return true }
        case UInt8(ascii: "c"):
            if name.isEqual(to: "connection") { return true }
            if value != nil, name.isEqual(to: "content-length") { return true }
        case UInt8(ascii: "d"): if value != nil, name.isEqual(to: "date") { return true }
        case UInt8(ascii: "e"): if name.isEqual(to: "expect") { return true }
        case UInt8(ascii: "k"): if name.isEqual(to: "keep-alive") { return true }
        case UInt8(ascii: "p"): if name.isEqual(to: "proxy-connection") { return true }
        case UInt8(ascii: "t"):
            if name.isEqual(to: "te") || name.isEqual(to: "trailer") || name.isEqual(to: "transfer-encoding") {
                return true
            }
        case UInt8(ascii: "u"): if name.isEqual(to: "upgrade") { return true }
        default: break
        }
        guard let value else { return false }
        return !value.allSatisfy { (0x20...0x7E).contains($0) || $0 == 0x09 }
    }
}

extension RequestMetadata {
    /// The metadata of a call over HTTP, for the gateway and for the handler.
    ///
    /// - Parameters:
    ///   - target: what the handler learns of the request's line, as `req.http`.
    init(_ request: HTTPRequest, target: FunctionTarget) {
        self.init()
        let isPacked = request.headerFields.contains(.contentEncoding)
        for field in request.headerFields {
            // The handler gets the body unpacked.
            if isPacked, field.name == .contentEncoding || field.name == .contentLength { continue }
            add(field.name.canonicalName, field.value, by: .http)
        }
        if let authority = request.authority { add("host", authority, by: .http) }
        complete()
        describe(":method", request.method.rawValue)
        describe(":path", target.path)
        describe(":query", target.query)
    }
}

extension HTTPFields {
    /// What every answer to a call says of it.
    mutating func add(_ metadata: borrowing RequestMetadata) {
        self[.requestID] = metadata.requestID
        self[.traceParent] = metadata.withTraceParent { String(decoding: $0, as: UTF8.self) }
    }

    /// The handler's own headers for its caller.
    mutating func add(_ metadata: borrowing ReplyMetadata) {
        metadata.forEach(by: .http) { name, value in
            guard let name = HTTPField.Name(String(decoding: name, as: UTF8.self)) else { return }
            append(HTTPField(name: name, value: String(decoding: value, as: UTF8.self)))
        }
    }
}

extension ReplyMetadata {
    /// The status of a reply: the handler's, or 200.
    var httpStatus: HTTPResponse.Status {
        guard let (code, reason) = status else { return .ok }
        return reason.isEmpty
            ? HTTPResponse.Status(code: code) : HTTPResponse.Status(code: code, reasonPhrase: reason)
    }
}

extension InvocationOutput {
    /// The output in NIO's memory.
    consuming func buffer() -> ByteBuffer {
        ByteBuffer(bytes: bytes)
    }
}
