internal import Locks

/// Devices that one replica has, until `end` or until nobody has the lease any more.
package final class GPULease: Sendable {
    package let devices: [GPUDevice]
    private let id: UInt64
    private let leases: GPULeases
    private let isOver = Lock(false)

    init(_ id: UInt64, _ devices: [GPUDevice], of leases: GPULeases) {
        self.id = id
        self.devices = devices
        self.leases = leases
    }

    deinit { end() }

    /// It will end by itself before long: its replica has been told to stop.
    package func leave() {
        leases.leave(id)
    }

    /// Gives the devices back; its replica's processes are gone.
    package func end() {
        let isFirst = isOver.withLock { isOver in
            defer { isOver = true }
            return !isOver
        }
        if isFirst { leases.release(id) }
    }
}
