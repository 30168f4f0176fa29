internal import Platform

/// Records which replicas hold which of the host's GPUs. Any thread may use it.
///
/// A device belongs to one replica, or to any number of replicas that all share. A replica keeps its devices through
/// its restarts, and gives them back when its last process is gone. Devices that are given back go to the replica that
/// has waited longest and can use them. A replica that needs several devices gets all of them at once or none.
package final class GPULeases: Sendable {
    private struct Grant {
        var holder: GPUHolder
        var isShared: Bool
        var devices: [GPUDevice]
        /// Whether the holder has been told to stop, so that the grant ends soon.
        var isStopping = false
    }

    private struct Waiter {
        var id: UInt64
        var request: GPURequest
        var holder: GPUHolder
        var lease: Promise<GPULease>
    }

    private struct State {
        /// In nvidia-smi's order.
        var devices: [GPUDevice] = []
        var grants: [UInt64: Grant] = [:]
        /// In the order of their waiting time, the longest first.
        var waiters: [Waiter] = []
        var next: UInt64 = 0
        /// Set when a grant is removed next.
        var change = Promise<Void>()
    }

    /// The most holders of one device that a message names.
    private static let namesMax = 3

    private let state = Lock(State())

    package init() {}

    /// Replaces the list of the host's devices. Grants stay, even of devices that are no longer in the list.
    package func update(devices: [GPUDevice]) {
        let granted = state.withLock { state in
            state.devices = devices
            return Self.serve(&state)
        }
        deliver(granted)
    }

    package var devices: [GPUDevice] { state.withLock { $0.devices } }

    /// Each device with its holders, the oldest first.
    package var holders: [(device: GPUDevice, holders: [GPUHolder])] {
        state.withLock { state in
            state.devices.map { device in (device, Self.holders(of: device, state.grants)) }
        }
    }

    /// How many replicas wait for devices.
    package var waiting: Int { state.withLock { $0.waiters.count } }

    // MARK: Getting devices

    /// Leases devices to several replicas, to all of them or to none. It waits only for devices of replicas that stop.
    package func reserve(
        _ request: GPURequest, for holders: [GPUHolder]
    ) async throws(GPUShortage) -> [GPULease] {
        while true {
            switch attempt(request, holders) {
            case .granted(let leases): return leases
            case .soon(let change): guard await change.value() != nil else { throw .cancelled }
            case .never(let shortage): throw shortage
            }
        }
    }

    /// Leases devices to one replica without waiting; nil when no devices are free.
    package func take(_ request: GPURequest, for holder: GPUHolder) -> GPULease? {
        guard case .granted(let leases) = attempt(request, [holder]) else { return nil }
        return leases.first
    }

    /// Waits as long as it takes until one replica gets its devices; nil once `stopped` is set.
    func wait(_ request: GPURequest, for holder: GPUHolder, until stopped: Promise<Void>) async -> GPULease? {
        let promise = Promise<GPULease>()
        let (id, granted) = state.withLock { state in
            state.next += 1
            state.waiters.append(Waiter(id: state.next, request: request, holder: holder, lease: promise))
            return (state.next, Self.serve(&state))
        }
        deliver(granted)
        _ = await promise.value(unless: stopped)
        state.withLock { $0.waiters.removeAll { $0.id == id } }
        // A lease that comes too late ends when the promise is released.
        return stopped.current == nil ? promise.current : nil
    }

    /// Why this many more replicas would not get their devices. Nil when they would: now, or once the replicas that
    /// stop have given theirs back.
    package func shortage(_ request: GPURequest, replicas: Int) -> GPUShortage? {
        state.withLock { Self.shortage($0, request, replicas) }
    }

    /// How many more replicas would get their devices now.
    package func room(for request: GPURequest) -> Int {
        state.withLock { state in
            let devices = Self.usable(state.devices, request, state.grants.values).count
            return request.isShared && devices >= request.count ? .max : devices / request.count
        }
    }

    // MARK: Giving them back

    fileprivate func markStopping(_ id: UInt64) {
        state.withLock { $0.grants[id]?.isStopping = true }
    }

    fileprivate func release(_ id: UInt64) {
        let (granted, change) = state.withLock { state in
            state.grants[id] = nil
            let granted = Self.serve(&state)
            let change = state.change
            state.change = Promise()
            return (granted, change)
        }
        deliver(granted)
        change.settle(())
    }

    // MARK: Under the lock

    private enum Attempt {
        case granted([GPULease])
        case soon(Promise<Void>)
        case never(GPUShortage)
    }

    private func attempt(_ request: GPURequest, _ holders: [GPUHolder]) -> Attempt {
        // The end of a lease takes the lock, so no lease is made while this thread holds it.
        let (grants, change, shortage) = state.withLock { state in
            let grants = Self.grant(request, holders, &state)
            return (grants, state.change, grants == nil ? Self.shortage(state, request, holders.count) : nil)
        }
        if let grants { return .granted(grants.map { GPULease($0.id, $0.devices, of: self) }) }
        if let shortage { return .never(shortage) }
        return .soon(change)
    }

    private typealias NewGrant = (id: UInt64, devices: [GPUDevice])

    /// Makes a grant for each holder; nil, without any change, when the devices do not suffice for all of them.
    private static func grant(
        _ request: GPURequest, _ holders: [GPUHolder], _ state: inout State
    ) -> [NewGrant]? {
        var changed = state
        var new: [NewGrant] = []
        for holder in holders {
            let devices = usable(changed.devices, request, changed.grants.values).prefix(request.count)
            guard devices.count == request.count else { return nil }
            changed.next += 1
            new.append((changed.next, Array(devices)))
            changed.grants[changed.next] = Grant(
                holder: holder, isShared: request.isShared, devices: Array(devices))
        }
        state = changed
        return new
    }

    /// The devices that a replica could get, the best first: the ones with the fewest holders, then in the host's
    /// order.
    private static func usable(
        _ devices: [GPUDevice], _ request: GPURequest, _ grants: some Collection<Grant>
    ) -> [GPUDevice] {
        let candidates = devices.enumerated().compactMap { index, device -> (holders: Int, index: Int)? in
            guard request.count == 1 || !device.isPart else { return nil }
            let held = grants.filter { grant in grant.devices.contains { $0.uuid == device.uuid } }
            guard held.isEmpty || (request.isShared && held.allSatisfy(\.isShared)) else { return nil }
            return (held.count, index)
        }
        return candidates.sorted { ($0.holders, $0.index) < ($1.holders, $1.index) }.map { devices[$0.index] }
    }

    private static func shortage(_ state: State, _ request: GPURequest, _ replicas: Int) -> GPUShortage? {
        guard replicas > 0 else { return nil }
        // Replicas that share need no more devices than one of them does.
        let needed = request.isShared ? request.count : request.count * replicas
        let all = usable(state.devices, request, []).count
        guard all >= needed else { return .tooFew(request, replicas: replicas, devices: all) }
        let staying = state.grants.values.filter { !$0.isStopping }
        guard usable(state.devices, request, staying).count < needed else { return nil }
        let free = usable(state.devices, request, state.grants.values).count
        let holders = state.devices.compactMap { device -> String? in
            let names = Self.holders(of: device, state.grants)
            guard !names.isEmpty else { return nil }
            let more = names.count > namesMax ? " and \(names.count - namesMax) more" : ""
            return "\(device.number) by \(names.prefix(namesMax).map(\.description).joined(separator: " and "))\(more)"
        }
        return .held(request, replicas: replicas, free: free, devices: all, holders: holders)
    }

    private static func holders(of device: GPUDevice, _ grants: [UInt64: Grant]) -> [GPUHolder] {
        grants.sorted { $0.key < $1.key }
            .filter { $0.value.devices.contains { $0.uuid == device.uuid } }
            .map(\.value.holder)
    }

    /// Grants free devices to the replicas that wait.
    private static func serve(_ state: inout State) -> [(Waiter, NewGrant)] {
        var served: [(Waiter, NewGrant)] = []
        for waiter in state.waiters {
            guard let grant = grant(waiter.request, [waiter.holder], &state)?.first else { continue }
            served.append((waiter, grant))
        }
        state.waiters.removeAll { waiter in served.contains { $0.0.id == waiter.id } }
        return served
    }

    /// Gives the new leases to the replicas that wait. Call it without the lock.
    private func deliver(_ granted: [(Waiter, NewGrant)]) {
        for (waiter, grant) in granted { waiter.lease.settle(GPULease(grant.id, grant.devices, of: self)) }
    }
}

/// A replica that holds devices. Its text is `ocr@2 replica 1`.
package struct GPUHolder: Sendable, Hashable, CustomStringConvertible {
    package var function: String
    package var version: Int
    package var replica: Int

    package init(function: String, version: Int, replica: Int) {
        self.function = function
        self.version = version
        self.replica = replica
    }

    package var description: String { "\(function)@\(version) replica \(replica)" }
}

/// The devices that one replica holds, until `end` or until the lease is released. Any thread may use it.
package final class GPULease: Sendable {
    package let devices: [GPUDevice]
    private let id: UInt64
    private let leases: GPULeases
    private let isOver = Lock(false)

    fileprivate init(_ id: UInt64, _ devices: [GPUDevice], of leases: GPULeases) {
        self.id = id
        self.devices = devices
        self.leases = leases
    }

    deinit { end() }

    /// Notes that the replica has been told to stop, so that the lease ends soon.
    package func markStopping() {
        leases.markStopping(id)
    }

    /// Gives the devices back. Call it when all processes of the replica are gone.
    package func end() {
        let isFirst = isOver.withLock { isOver in
            defer { isOver = true }
            return !isOver
        }
        if isFirst { leases.release(id) }
    }
}
