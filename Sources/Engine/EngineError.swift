/// Why an engine did not do what it was asked for, in words for people, with what to do where that is known.
package struct EngineError: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// Nobody answers at the socket: nothing was asked.
        case unreachable
        /// Something answers, and it is not an engine that can be spoken to in a version of the API that both know.
        case incompatible
        /// The engine or its machine is at fault: it starts or stops, something below it does not answer, its answer broke off.
        case broken
        /// This user may not ask the engine.
        case notAllowed
        /// There is no such image, container or network.
        case notFound
        /// The name is taken, or the thing is in a state in which that cannot be done.
        case conflict
        /// A registry wants other credentials, or cannot be reached.
        case registry
        case diskFull
        /// Anything else; the description is the engine's.
        case failed
    }

    package let kind: Kind
    package let description: String

    /// Whether it is the trouble of the engine or its machine, and not of what was asked for: the same may do later.
    package var isEngines: Bool {
        switch kind {
        case .unreachable, .incompatible, .broken, .notAllowed, .diskFull: true
        case .notFound, .conflict, .registry, .failed: false
        }
    }

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    /// What an engine that was asked for GPUs says when it has no NVIDIA runtime.
    private static let noGPUs = "could not select device driver"

    /// What an engine said with an HTTP status.
    init(status: UInt, message: String, doing what: String) {
        let kind: Kind =
            switch status {
            case 404: .notFound
            case 409: .conflict
            case 500...: Self.kind(ofFailure: message)
            default: Self.kind(of: message)
            }
        self.init(kind, "\(what): \(message)\(Self.hint(kind, message))")
    }

    /// What an engine said in the middle of a pull, a push or a build.
    init(message: String, doing what: String) {
        let kind = Self.kind(of: message)
        self.init(kind, "\(what): \(message)\(Self.hint(kind, message))")
    }

    /// What to do, where the engine's words leave that open.
    private static func hint(_ kind: Kind, _ message: String) -> String {
        if kind == .diskFull {
            return
                "; the engine's disk is full: \"docker system prune\" frees what nobody uses, and takes nothing that a function needs"
        }
        return message.contains(noGPUs)
            ? "; it has no GPUs to give: install nvidia-container-toolkit on this machine, or remove limits.gpu" : ""
    }

    /// What an engine says with a status of 500 and more is its own trouble, unless it is known for something else.
    private static func kind(ofFailure message: String) -> Kind {
        if message.contains(noGPUs) { return .failed }
        // It has lost what runs its containers.
        if message.contains("containerd.sock") { return .broken }
        let kind = kind(of: message)
        return kind == .failed ? .broken : kind
    }

    private static func kind(of message: String) -> Kind {
        let text = message.lowercased()
        func says(_ words: String...) -> Bool { words.contains { text.contains($0) } }
        if says("no space left") { return .diskFull }
        if says("manifest unknown", "not found", "no such image") { return .notFound }
        if says(
            "unauthorized", "denied", "no basic auth", "authentication required", "connection refused", "no such host",
            "i/o timeout", "server gave http response", "lookup ")
        {
            return .registry
        }
        return .failed
    }

    static func unreachable(_ path: String, errno code: Int32?, _ reason: String) -> EngineError {
        switch code {
        case 13, 1:
            EngineError(
                .notAllowed,
                "not allowed to use the Docker engine at \(path); add this user to the group that owns the socket "
                    + "(sudo usermod -aG docker $USER, then log in again)")
        case 2:
            EngineError(
                .unreachable,
                "there is no Docker engine at \(path); start it (sudo systemctl start docker), or name its "
                    + "socket in DOCKER_HOST")
        default:
            EngineError(
                .unreachable,
                "the Docker engine at \(path) does not answer: \(reason); is it running? (sudo systemctl status docker)"
            )
        }
    }
}
