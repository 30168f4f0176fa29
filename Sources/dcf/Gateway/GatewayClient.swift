import FunctionConfig
import GRPC
import GatewayProtocol
import Platform
import SwiftProtobuf

/// A connection to one gateway. Turns statuses into `CommandFailure`s that say what to do.
struct GatewayClient {
    let location: GatewayLocation
    let channel: Channel

    init(_ location: GatewayLocation) {
        self.location = location
        channel = Channel(target: location.address)
    }

    /// The time limit of requests that the gateway answers at once.
    static let timeoutShort = Duration.seconds(30)

    /// Sends one request and returns the reply. Throws `Status`.
    func unary<Reply: SwiftProtobuf.Message>(
        _ method: String, _ request: some SwiftProtobuf.Message, timeout: Duration? = nil
    ) async throws(Status) -> Reply {
        let bytes = try await channel.unary(method, try Self.bytes(of: request), timeout: timeout)
        return try Self.message(from: bytes)
    }

    /// Sends one request about a function and returns the reply. The error for an unknown function suggests the nearest
    /// name.
    func unary<Reply: SwiftProtobuf.Message>(
        _ method: String, _ request: some SwiftProtobuf.Message, about function: String, timeout: Duration? = nil
    ) async throws(CommandFailure) -> Reply {
        do throws(Status) {
            return try await unary(method, request, timeout: timeout)
        } catch {
            throw await failure(error, about: function)
        }
    }

    func list() async throws(Status) -> [Pb_Function] {
        let reply: Pb_Functions = try await unary(GatewayMethod.list.path, Pb_Empty(), timeout: Self.timeoutShort)
        return reply.functions
    }

    static func bytes(of message: some SwiftProtobuf.Message) throws(Status) -> [UInt8] {
        do {
            return try message.serializedBytes()
        } catch {
            throw Status(.internal, "the request cannot be written: \(error)")
        }
    }

    static func message<Message: SwiftProtobuf.Message>(from bytes: [UInt8]) throws(Status) -> Message {
        do {
            return try Message(serializedBytes: bytes)
        } catch {
            throw Status(.internal, "the gateway's reply cannot be read: \(error)")
        }
    }
}

extension GatewayClient {
    /// The error text for a status.
    func failure(_ status: Status) -> CommandFailure {
        guard status.code == .unavailable, status.metadata["dcf-executed"] == nil else {
            return CommandFailure(status.description)
        }
        let place = "\(location.address)\(location.origin)"
        if status.message.lowercased().contains("connect") || status.message.contains("DNS") {
            return CommandFailure(
                "no gateway answers at \(place); start one with \"dcf-gateway\", or name another with -g HOST:PORT")
        }
        return CommandFailure("the connection to the gateway at \(place) was lost: \(status.message)")
    }

    /// The error text for a status of a request about a function. If the function is not deployed, suggests the nearest
    /// name.
    func failure(_ status: Status, about function: String) async -> CommandFailure {
        guard status.code == .notFound, let functions = try? await list() else { return failure(status) }
        let names = functions.map(\.name)
        let function = String(function.prefix { $0 != "@" })
        guard !names.contains(function) else { return failure(status) }
        return CommandFailure("\(status)\(Suggestion.clause(for: function, among: names))")
    }
}

extension ClientCall {
    /// Writes the output of each message to standard output as it arrives, until the call ends.
    func copyOutput() async throws(Status) {
        while let bytes = try await receive() {
            let message: Pb_Messages = try GatewayClient.message(from: bytes)
            do throws(CommandFailure) {
                try Console.write(message.output)
            } catch {
                cancel()
                throw Status(.cancelled, error.description)
            }
        }
    }
}
