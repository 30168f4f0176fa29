internal import GRPC

/// What is known of a replica at a moment; everything that is shown of it derives from this.
struct ReplicaState: Sendable {
    enum Phase: String, Sendable {
        case starting = "Starting"
        case ready = "Ready"
        case stopping = "Stopping"
        /// For its next start.
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
    /// Why it is not Ready.
    var reason = ""
}
