internal import CLinux

/// The processors of this machine.
package enum Processors {
    /// How many processors this process may use. A limit of processor time, as Docker's `--cpus` sets it, does not
    /// count.
    package static let count: Int = {
        var mask = [UInt](repeating: 0, count: 128)
        let bytes = dcf_sched_getaffinity(0, &mask, mask.count * MemoryLayout<UInt>.size)
        return bytes > 0 ? max(mask.reduce(0) { $0 + $1.nonzeroBitCount }, 1) : 1
    }()
}
