internal import Calls
internal import HTTPTypes
internal import NIOCore
internal import Platform

/// Receives the body of one request, and unpacks it. A value of the connection's event loop.
struct BodyReceiver: ~Copyable {
    private let limit: Int
    private var body = ReceivedBody()
    private let room: BodyRoom
    private var inflater: Inflater?

    /// - Parameters:
    ///   - limit: the most bytes, unpacked.
    ///   - budget: the memory for all bodies.
    /// - Throws: for a body that is refused by its head.
    init(_ fields: HTTPFields, upTo limit: Int, budget: ByteBudget) throws(CallFailure) {
        if let length = fields[.contentLength] {
            // The parser lets digits through alone; a number that is too long is too large.
            let announced = Int(length) ?? Int.max
            guard announced <= limit else { throw .inputTooLarge(announced, limit: limit) }
        }
        let inflater = try ContentCoding(fields[.contentEncoding]?.lowercased()).inflater()
        self.limit = limit
        self.inflater = inflater
        room = BodyRoom(budget)
    }

    /// Adds the next bytes.
    mutating func receive(_ piece: ByteBuffer) throws(CallFailure) {
        guard inflater != nil else { return try Self.add(piece, to: &body, room, limit) }
        try inflater?.inflate(piece) { (unpacked) throws(CallFailure) in
            try Self.add(unpacked, to: &body, room, limit)
        }
    }

    /// The input of the call, when all bytes have come.
    consuming func finish() throws(CallFailure) -> InvocationInput {
        try inflater?.finish()
        return InvocationInput(HTTPInput(body, room), offset: 0, count: body.count)
    }

    private static func add(
        _ piece: ByteBuffer, to body: inout ReceivedBody, _ room: BodyRoom, _ limit: Int
    ) throws(CallFailure) {
        let count = body.count + piece.readableBytes
        guard count <= limit else { throw .inputTooLarge(count, limit: limit) }
        guard room.take(piece.readableBytes) else { throw .noRoomForBody(budget: room.limit) }
        body.append(piece)
    }
}
