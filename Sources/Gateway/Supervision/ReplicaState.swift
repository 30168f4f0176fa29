internal import GRPC

/// What is known of a replica at a moment; everything that is shown of it derives from this.
struct ReplicaState: Sendable {
    enum Phase: String, Sendable {
        case starting = "Starting"
        case ready = "Ready"
        case stopping = "Stopping"
        /// For its next start, or for a GPU.
        case waiting = "Waiting"
    }

    var number: Int
    var phase = Phase.starting
    var pid: Int32 = 0
    var restarts = 0
    var readySince: MonotonicTime?
    var constructorMicros: UInt64 = 0
    /// The devices that it holds.
    var gpus: [GPUDevice] = []
    /// Why its last process ended, or could not be started.
    var reason = ""
    /// What it waits for, if it does: `waits for a GPU: ...`.
    var wait: String?
    /// When it is started again.
    var nextTry: MonotonicTime?

    /// Why it is not Ready, for people; empty where there is nothing to say.
    var explanation: String {
        if phase == .ready { return "" }
        let next = nextTry.map { Self.nextTry(in: .nanoseconds($0.nanoseconds(since: .now))) }
        return [reason, wait ?? "", next ?? ""].filter { !$0.isEmpty }.joined(separator: "; ")
    }

    /// - Parameter pause: until then.
    static func nextTry(in pause: Duration) -> String {
        let seconds = Int(pause.inSeconds.rounded(.up))
        return seconds < 1 ? "next try now" : "next try in \(seconds) s"
    }
}
