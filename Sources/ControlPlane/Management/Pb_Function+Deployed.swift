internal import Calls
internal import Environments
internal import FunctionConfig
internal import GatewayProtocol
internal import Platform

extension Pb_Function {
    /// The message that shows a function.
    ///
    /// - Parameter detail: whether to add the fields that lists leave out.
    init(_ function: DeployedFunction, detail: Bool) {
        self.init()
        let current = function.current
        let record = current.record
        let replicas = function.versions.map { ($0.number, $0.replicas) }
        let live = function.live
        name = record.name
        image = record.image
        invocationCount = function.invocations
        self.replicas = UInt64(live.reduce(0) { $0 + $1.wanted })
        availableReplicas = UInt64(live.reduce(0) { $0 + $1.replicas.count { $0.phase == .ready } })
        annotations = record.annotations
        labels = record.labels
        status = function.status.rawValue
        reason = function.reason
        version = UInt64(record.version)
        description_p = current.settings.description
        maintainer = current.settings.maintainer
        traffic = function.traffic.shares.map { Pb_TrafficShare($0) }
        minReplicas = UInt64(record.replicas.min)
        maxReplicas = UInt64(record.replicas.max)
        var seen: Set<GPUDevice> = []
        for device in replicas.flatMap({ $0.1 }).flatMap(\.gpus) where seen.insert(device).inserted {
            gpus.append(Pb_GPU(device))
        }
        guard detail else { return }
        config = record.config
        deploy = record.kind == .image ? .asImage : .asProcess
        imageID = record.imageID
        if case .process(let source) = current.plan?.source {
            python = "\(source.python.version) (\(source.python.python))"
        }
        instances = replicas.flatMap { version, states in states.map { Pb_Replica($0, of: version) } }
    }
}

extension Pb_TrafficShare {
    init(_ share: Traffic.Share) {
        self.init()
        version = UInt64(share.version)
        weight = UInt64(share.weight)
    }
}

extension Pb_FunctionVersion {
    init(_ version: DeployedVersion, of function: DeployedFunction) {
        self.init()
        let record = version.record
        self.version = UInt64(version.number)
        created = record.createdAt
        weight = UInt64(record.traffic)
        replicas = UInt64(version.wanted)
        availableReplicas = UInt64(version.replicas.count { $0.phase == .ready })
        status = version.status.rawValue
        reason = version.reason
        current = version === function.current
        image = record.image
        bundle = record.bundle
        imageID = record.imageID
    }
}

extension Pb_Replica {
    init(_ state: ReplicaState, of version: Int) {
        self.init()
        self.version = UInt64(version)
        number = UInt64(state.number)
        pid = Int64(state.pid)
        self.state = state.phase.rawValue
        restarts = UInt64(state.restarts)
        if let since = state.readySince {
            readySeconds = Double(MonotonicTime.now.nanoseconds(since: since)) / 1e9
        }
        constructorMicros = state.constructorMicros
        gpus = state.gpus.map { Pb_GPU($0) }
    }
}

extension Pb_GPU {
    init(_ device: GPUDevice) {
        self.init()
        uuid = device.uuid
        number = device.number
        name = device.name
        memoryBytes = device.memory
    }
}
