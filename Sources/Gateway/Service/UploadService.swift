internal import GRPC
internal import GatewayProtocol

/// Takes bundles. One that is known already is not sent again.
final class UploadService: Sendable {
    private let bundles: BundleStore
    private let store: FunctionStore

    init(bundles: BundleStore, store: FunctionStore) {
        self.bundles = bundles
        self.store = store
    }

    func serve(_ call: ServerCall) async throws(Status) {
        guard let first: Pb_UploadPiece = try await call.nextRequest() else {
            throw Status(
                .invalidArgument, "an upload begins with the bundle's SHA-256", metadata: ["dcf-executed": "no"])
        }
        var reply = Pb_UploadReply()
        if bundles.contains(first.sha256) {
            // Its time begins anew: whoever has asked is about to deploy it.
            try mark(first.sha256)
            reply.known = true
            return try await call.send(reply)
        }
        do {
            let writer = try bundles.begin(sha256: first.sha256, size: first.size)
            try writer.append([UInt8](first.data))
            while let piece: Pb_UploadPiece = try await next(call) {
                try writer.append([UInt8](piece.data))
            }
            if Task.isCancelled { return }
            // Before it is there: nothing lies in the store that the registry does not know.
            try mark(first.sha256)
            try writer.commit()
        } catch let error as BundleStoreError {
            throw FunctionError.bundle(error).status
        } catch {
            throw error as? Status ?? Status(.internal, "\(error)")
        }
        reply.stored = true
        try await call.send(reply)
    }

    private func mark(_ sha256: String) throws(Status) {
        do throws(RegistryError) { try store.mark(Removal(bundle: sha256)) } catch {
            throw FunctionError.registry(error).status
        }
    }

    /// A piece that does not parse ends the upload like one that is missing: the bundle is not whole then. One that is
    /// refused ends it with the reason.
    private func next(_ call: ServerCall) async throws(Status) -> Pb_UploadPiece? {
        do throws(Status) { return try await call.nextRequest() } catch {
            if error.code == .invalidArgument { return nil }
            throw error
        }
    }
}
