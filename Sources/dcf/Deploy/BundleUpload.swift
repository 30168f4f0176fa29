import FoundationEssentials
import GRPC
import GatewayProtocol
import Platform
import Synchronization
import SystemPackage

/// Sends a packed folder to a gateway in pieces. Stops when the gateway reports that it already has the bundle.
struct BundleUpload {
    static let pieceBytes = 1 << 20

    let bundle: PackedFolder
    let client: GatewayClient

    func send(progress: (String) -> Void) async throws(Status) {
        let call = try client.channel.call(GatewayMethod.upload.path)
        let isAnswered = Flag()
        async let answer = Self.answer(to: call, isAnswered)
        let sent: Status?
        do throws(Status) {
            try await sendPieces(over: call, until: isAnswered, progress)
            sent = nil
        } catch {
            // The gateway ended the call early. Its answer says why.
            if error.code == .internal { call.cancel() }
            sent = error
        }
        switch await answer {
        case .success(let reply) where reply.known || reply.stored: return
        case .success: throw sent ?? Status(.internal, "the gateway did not store the bundle")
        case .failure(let status): throw status.code == .cancelled ? sent ?? status : status
        }
    }

    private final class Flag: Sendable {
        let isSet = Atomic<Bool>(false)
    }

    private static func answer(to call: ClientCall, _ isAnswered: Flag) async -> Result<Pb_UploadReply, Status> {
        defer { isAnswered.isSet.store(true, ordering: .relaxed) }
        do throws(Status) {
            guard let bytes = try await call.receive() else { return .success(Pb_UploadReply()) }
            return .success(try GatewayClient.message(from: bytes))
        } catch {
            return .failure(error)
        }
    }

    private func sendPieces(
        over call: ClientCall, until isAnswered: Flag, _ progress: (String) -> Void
    ) async throws(Status) {
        var sent = 0
        repeat {
            var piece = Pb_UploadPiece()
            if sent == 0 {
                piece.sha256 = bundle.sha256
                piece.size = UInt64(bundle.size)
            }
            let bytes = try bundle.bytes(at: sent, count: Self.pieceBytes)
            piece.data = Data(bytes)
            try await call.send(try GatewayClient.bytes(of: piece))
            sent += bytes.count
            if bundle.size > 4 * Self.pieceBytes {
                progress("uploading, \(sent * 100 / bundle.size) %")
            }
        } while sent < bundle.size && !isAnswered.isSet.load(ordering: .relaxed)
        try await call.closeSend()
    }
}
