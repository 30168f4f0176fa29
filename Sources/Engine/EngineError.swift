/// Why a request to an engine failed: a text for people that also says what to do, where that is known.
package struct EngineError: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// Nothing answers at the socket. No engine saw the request.
        case unreachable
        /// The engine speaks no version of the API that this program speaks.
        case incompatible
        /// The engine or its machine is at fault: it is starting or stopping, a part of it does not answer, or its
        /// answer broke off.
        case broken
        /// This user may not use the engine.
        case notAllowed
        /// There is no such image, container or network.
        case notFound
        /// The name is taken, or the present state does not allow the request.
        case conflict
        /// A registry refuses the credentials, or cannot be reached.
        case registry
        case diskFull
        /// Anything else. The description has the engine's own message.
        case failed
    }

    package let kind: Kind
    package let description: String

    /// Whether the engine or its machine is at fault, and not the request. The same request may succeed later.
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

    /// The error for a message that an engine sent with an HTTP status.
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

    /// The error for a message that an engine sent during a pull, a push or a build.
    init(message: String, doing what: String) {
        let kind = Self.kind(of: message)
        self.init(kind, "\(what): \(message)\(Self.hint(kind, message))")
    }

    /// What to do, where the engine's message leaves that open.
    private static func hint(_ kind: Kind, _ message: String) -> String {
        if kind == .diskFull {
            return "; the engine's disk is full: \"docker system prune\" frees unused space and removes nothing that a "
                + "function needs"
        }
        return EngineMessage.noGPUs.isSaid(in: message)
            ? "; it has no GPUs to give: install nvidia-container-toolkit on this machine, or remove limits.gpu" : ""
    }

    /// The kind of a message that came with a status of 500 or more. The engine is at fault unless the message is known
    /// to mean something else.
    private static func kind(ofFailure message: String) -> Kind {
        if EngineMessage.noGPUs.isSaid(in: message) { return .failed }
        if EngineMessage.noContainerd.isSaid(in: message) { return .broken }
        let kind = kind(of: message)
        return kind == .failed ? .broken : kind
    }

    private static func kind(of message: String) -> Kind {
        if EngineMessage.diskFull.isSaid(in: message) { return .diskFull }
        if EngineMessage.notFound.isSaid(in: message) { return .notFound }
        if EngineMessage.registryTrouble.isSaid(in: message) { return .registry }
        return .failed
    }

    /// The error for a socket that cannot be connected to.
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
