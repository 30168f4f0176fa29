internal import GRPC
internal import GatewayProtocol

/// Takes bundles. One that is known already is not sent again.
final class UploadService: Sendable {
    private let bundles: BundleStore

    init(bundles: BundleStore) {
        self.bundles = bundles
    }

    func serve(_ call: ServerCall) async throws(Status) {
        guard let first: Pb_UploadPiece = try await call.nextRequest() else {
            throw Status(
                .invalidArgument, "an upload begins with the bundle's SHA-256", metadata: ["dcf-executed": "no"])
        }
        var reply = Pb_UploadReply()
        if bundles.contains(first.sha256) {
            reply.known = true
            return try await call.send(reply)
        }
        do throws(BundleStoreError) {
            let writer = try bundles.begin(sha256: first.sha256, size: first.size)
            try writer.append([UInt8](first.data))
            while let piece: Pb_UploadPiece = await next(call) {
                try writer.append([UInt8](piece.data))
            }
            if Task.isCancelled { return }
            try writer.commit()
        } catch {
            throw FunctionError.bundle(error).status
        }
        reply.stored = true
        try await call.send(reply)
    }

    /// A piece that does not parse ends the upload like one that is missing: the bundle is not whole then.
    private func next(_ call: ServerCall) async -> Pb_UploadPiece? {
        do throws(Status) { return try await call.nextRequest() } catch { return nil }
    }
}
