internal import Engine
internal import FunctionConfig
internal import Link
internal import Logging
internal import Platform

/// The secrets of the services.
extension SwarmHost {
    /// The largest secret, in bytes.
    private static let secretBytesMax = 500 << 10
    /// How often and at which interval the removal of a secret is tried. It fails while the secret's service exists.
    private static let secretTries = 30
    private static let secretPause = Duration.milliseconds(300)

    /// Makes secrets of the service's token and of the function's secrets.
    ///
    /// - Parameter made: called for each secret as soon as it is made.
    func makeSecrets(
        of spec: ServiceSpec, _ plan: FunctionPlan, _ token: LinkToken, _ made: (ServiceSpec.Secret) -> Void
    ) async throws(EngineError) {
        let names = plan.record.secrets
        if let missing = folders.missing(of: names) { throw .noSecret(missing, folder: folders.secrets) }
        var contents = [(file: ".dcf-token", bytes: Array(token.text.utf8))]
        do throws(FileError) {
            for name in names {
                contents.append((name, try WholeFile.read("\(folders.secrets)/\(name)", limit: Self.secretBytesMax)))
            }
        } catch { throw EngineError(.failed, "secrets: \(error)") }
        // A user's name has a number only in the image, so its secrets are readable for all users of the container.
        let user = spec.container.user.flatMap { UInt32($0.prefix { $0 != ":" }) }
        let nonce = LinkToken().text.prefix(8)
        for (index, content) in contents.enumerated() {
            let name = "\(spec.name.prefix(40))-\(nonce)-\(index)"
            let id = try await engine.createSecret(name, content.bytes, labels: spec.labels)
            made(
                ServiceSpec.Secret(
                    id: id, name: name, file: content.file, user: user ?? 0, mode: user == nil ? 0o444 : 0o400))
        }
    }

    /// Starts to remove secrets. `finish` waits for it.
    func discard(secrets: [String]) {
        guard !secrets.isEmpty else { return }
        let done = Promise<Void>()
        let number = state.withLock { state in
            state.nextRemoval += 1
            state.removals[state.nextRemoval] = done
            return state.nextRemoval
        }
        tasks.add { [self] in
            for secret in secrets { await remove(secret: secret) }
            state.withLock { $0.removals[number] = nil }
            done.settle(())
        }
    }

    private func remove(secret id: String) async {
        for attempt in 1...Self.secretTries {
            do throws(EngineError) {
                try await engine.removeSecret(id)
                return
            } catch {
                guard EngineMessage.inUse.isSaid(in: error.description), attempt < Self.secretTries else {
                    logger.warning("\(error); the next start tries again")
                    return
                }
            }
            do { try await Task.sleep(for: Self.secretPause) } catch { return }
        }
    }
}
