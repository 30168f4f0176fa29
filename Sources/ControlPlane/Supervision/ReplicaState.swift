internal import Platform

/// The state of a replica at one moment. Everything that lists show of a replica derives from it.
struct ReplicaState: Sendable {
    enum Phase: String, Sendable {
        case starting = "Starting"
        case ready = "Ready"
        case stopping = "Stopping"
        /// It waits for its next start, or for a GPU.
        case waiting = "Waiting"
    }

    var number: Int
    var phase = Phase.starting
    var pid: Int32 = 0
    var restarts = 0
    var readySince: MonotonicTime?
    var constructorMicros: UInt64 = 0
    /// The devices that the replica holds.
    var gpus: [GPUDevice] = []
    /// Why the last process ended or could not be started.
    var reason = ""
    /// What the replica waits for, as a text: `waits for a GPU: ...`. Nil if it does not wait.
    var wait: String?
    /// When the replica is started again.
    var nextTry: MonotonicTime?

    /// Why the replica is not Ready, for people. Empty if there is nothing to say.
    var explanation: String {
        if phase == .ready { return "" }
        let next = nextTry.map { Self.nextTry(in: .nanoseconds($0.nanoseconds(since: .now))) }
        return [reason, wait ?? "", next ?? ""].filter { !$0.isEmpty }.joined(separator: "; ")
    }

    /// When the next try is, for people.
    ///
    /// - Parameter pause: the time until then.
    static func nextTry(in pause: Duration) -> String {
        let seconds = Int(pause.inSeconds.rounded(.up))
        return seconds < 1 ? "next try now" : "next try in \(seconds) s"
    }
}
