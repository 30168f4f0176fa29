internal import Locks

/// Who has which of the host's GPUs.
///
/// A device belongs to one replica, or to any number of replicas that all may share. A replica keeps its devices through
/// its restarts, and gives them back when its last process is gone. Devices that are given back go to whoever has waited
/// longest and can use them; a replica that needs several gets them at once or not at all.
package final class GPULeases: Sendable {
    private struct Grant {
        var holder: GPUHolder
        var isShared: Bool
        var devices: [GPUDevice]
        /// It ends by itself before long.
        var isLeaving = false
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
        /// The one that has waited longest first.
        var waiters: [Waiter] = []
        var next: UInt64 = 0
        /// Settled at the next change of `grants`.
        var change = Promise<Void>()
    }

    /// Of a device that many share, so many holders are named.
    private static let namesMax = 3

    private let state = Lock(State())

    package init() {}

    /// The devices that there are, as of now. Those that are held stay so, here or not.
    package func become(_ devices: [GPUDevice]) {
        let granted = state.withLock { state in
            state.devices = devices
            return Self.serve(&state)
        }
        settle(granted)
    }

    package var devices: [GPUDevice] { state.withLock { $0.devices } }

    /// Each device with its holders, the oldest first.
    package var holders: [(device: GPUDevice, holders: [GPUHolder])] {
        state.withLock { state in
            state.devices.map { device in (device, Self.holders(of: device, state.grants)) }
        }
    }

    /// How many replicas wait.
    package var waiting: Int { state.withLock { $0.waiters.count } }

    // MARK: Getting devices

    /// Devices for several replicas, for all or for none. Waits only for devices whose holders are stopping.
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

    /// The same for one replica, now; nil where it would have to wait.
    package func take(_ request: GPURequest, for holder: GPUHolder) -> GPULease? {
        guard case .granted(let leases) = attempt(request, [holder]) else { return nil }
        return leases.first
    }

    /// The same, however long it takes; nil once `stopped` is settled.
    func wait(_ request: GPURequest, for holder: GPUHolder, until stopped: Promise<Void>) async -> GPULease? {
        let promise = Promise<GPULease>()
        let (id, granted) = state.withLock { state in
            state.next += 1
            state.waiters.append(Waiter(id: state.next, request: request, holder: holder, lease: promise))
            return (state.next, Self.serve(&state))
        }
        settle(granted)
        _ = await promise.value(unless: stopped)
        state.withLock { $0.waiters.removeAll { $0.id == id } }
        // Should it come after all, it goes back with the promise.
        return stopped.current == nil ? promise.current : nil
    }

    /// Why so many replicas more would not get their devices; nil where they would, now or when those that stop are gone.
    package func shortage(_ request: GPURequest, replicas: Int) -> GPUShortage? {
        state.withLock { Self.shortage($0, request, replicas) }
    }

    /// How many replicas more would get their devices now.
    package func room(for request: GPURequest) -> Int {
        state.withLock { state in
            let devices = Self.usable(state.devices, request, state.grants.values).count
            return request.isShared && devices >= request.count ? .max : devices / request.count
        }
    }

    // MARK: Giving them back

    func leave(_ id: UInt64) {
        state.withLock { $0.grants[id]?.isLeaving = true }
    }

    func release(_ id: UInt64) {
        let (granted, change) = state.withLock { state in
            state.grants[id] = nil
            let granted = Self.serve(&state)
            let change = state.change
            state.change = Promise()
            return (granted, change)
        }
        settle(granted)
        change.settle(())
    }

    // MARK: Under the lock

    private enum Attempt {
        case granted([GPULease])
        case soon(Promise<Void>)
        case never(GPUShortage)
    }

    private func attempt(_ request: GPURequest, _ holders: [GPUHolder]) -> Attempt {
        // A lease that is thrown away takes the lock, so none is made while it is held.
        let (grants, change, shortage) = state.withLock { state in
            let grants = Self.grant(request, holders, &state)
            return (grants, state.change, grants == nil ? Self.shortage(state, request, holders.count) : nil)
        }
        if let grants { return .granted(grants.map { GPULease($0.id, $0.devices, of: self) }) }
        if let shortage { return .never(shortage) }
        return .soon(change)
    }

    private typealias NewGrant = (id: UInt64, devices: [GPUDevice])

    /// Grants for all or for none.
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

    /// The devices that a replica could get, the best first: those in the order of the host, of shared ones those with the
    /// fewest holders before others.
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
        // Those that share need no more than one of them does.
        let needed = request.isShared ? request.count : request.count * replicas
        let all = usable(state.devices, request, []).count
        guard all >= needed else { return .tooFew(request, replicas: replicas, devices: all) }
        let staying = state.grants.values.filter { !$0.isLeaving }
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

    /// Gives what is free to those that wait.
    private static func serve(_ state: inout State) -> [(Waiter, NewGrant)] {
        var served: [(Waiter, NewGrant)] = []
        for waiter in state.waiters {
            guard let grant = grant(waiter.request, [waiter.holder], &state)?.first else { continue }
            served.append((waiter, grant))
        }
        state.waiters.removeAll { waiter in served.contains { $0.0.id == waiter.id } }
        return served
    }

    private func settle(_ granted: [(Waiter, NewGrant)]) {
        for (waiter, grant) in granted { waiter.lease.settle(GPULease(grant.id, grant.devices, of: self)) }
    }
}
