package import Calls
package import GatewayProtocol

/// Receives bundles. A bundle that is in the store already is not sent again.
package final class UploadService: Sendable {
    private let bundles: BundleStore
    private let store: FunctionStore

    init(bundles: BundleStore, store: FunctionStore) {
        self.bundles = bundles
        self.store = store
    }

    /// Receives one bundle.
    ///
    /// - Parameters:
    ///   - first: the first piece. It names the bundle and its size.
    ///   - next: returns the next piece, and nil at the end. Its error goes to the caller.
    package func upload<Failure: Error>(
        _ first: Pb_UploadPiece, _ next: () async throws(Failure) -> Pb_UploadPiece?
    ) async throws(CallFailure) -> Result<Pb_UploadReply, Failure> {
        var reply = Pb_UploadReply()
        if bundles.contains(first.sha256) {
            // Marked again, so that its time begins again: the caller is about to deploy it.
            try mark(first.sha256)
            reply.known = true
            return .success(reply)
        }
        let writer = try bundle { () throws(BundleStoreError) in
            try bundles.begin(sha256: first.sha256, size: first.size)
        }
        try bundle { () throws(BundleStoreError) in try writer.append([UInt8](first.data)) }
        while true {
            let piece: Pb_UploadPiece?
            do throws(Failure) { piece = try await next() } catch { return .failure(error) }
            guard let piece else { break }
            try bundle { () throws(BundleStoreError) in try writer.append([UInt8](piece.data)) }
        }
        if Task.isCancelled { throw FunctionError.cancelled.failure }
        // Marked before the bundle is in the store: the registry must know every file there.
        try mark(first.sha256)
        try bundle { () throws(BundleStoreError) in try writer.commit() }
        reply.stored = true
        return .success(reply)
    }

    private func bundle<Value>(_ work: () throws(BundleStoreError) -> Value) throws(CallFailure) -> Value {
        do throws(BundleStoreError) { return try work() } catch { throw FunctionError.bundle(error).failure }
    }

    private func mark(_ sha256: String) throws(CallFailure) {
        do throws(RegistryError) { try store.mark(Removal(bundle: sha256)) } catch {
            throw FunctionError.registry(error).failure
        }
    }
}
