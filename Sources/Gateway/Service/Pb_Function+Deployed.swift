internal import Environments
internal import FunctionConfig
internal import GRPC
internal import GatewayProtocol

extension Pb_Function {
    /// What is shown of a function.
    ///
    /// - Parameter detail: also what only the page of one function shows.
    init(_ function: DeployedFunction, detail: Bool) {
        self.init()
        let record = function.record
        let replicas = function.set?.shown ?? []
        name = record.name
        image = record.image
        invocationCount = record.invocations + function.route.invocations
        self.replicas = UInt64(record.replicas)
        availableReplicas = UInt64(replicas.count { $0.phase == .ready })
        annotations = record.annotations
        labels = record.labels
        status = function.status.rawValue
        reason = function.problem ?? replicas.first { !$0.reason.isEmpty }?.reason ?? ""
        version = UInt64(record.version)
        if let config = function.set?.plan.config {
            description_p = config.description
            maintainer = config.maintainer
        }
        guard detail else { return }
        config = record.config
        if let environment = function.set?.plan.python {
            python = "\(environment.version) (\(environment.python))"
        }
        instances = replicas.map { Pb_Replica($0) }
    }
}

extension Pb_Replica {
    init(_ state: ReplicaState) {
        self.init()
        number = UInt64(state.number)
        pid = Int64(state.pid)
        self.state = state.phase.rawValue
        restarts = UInt64(state.restarts)
        if let since = state.readySince {
            readySeconds = Double(MonotonicTime.now.nanoseconds(since: since)) / 1e9
        }
        constructorMicros = state.constructorMicros
    }
}
