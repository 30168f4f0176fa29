import CLinux
import Glibc
import Platform
import Synchronization

/// Restricts a process to some of the CPUs that the gateway may use.
package enum CPUAffinity {
    /// The largest number of CPUs in a mask.
    private static let cpusMax = 1024
    private static let wordBits = UInt.bitWidth
    /// Where the CPUs of the next process begin, so that replicas spread over the machine.
    private static let next = Atomic<Int>(0)

    /// Lets the process run on `count` CPUs. Does nothing if the process is gone, or if there are no more CPUs than
    /// that.
    package static func restrict(_ pid: Int32, toCPUs count: Int) {
        let chosen = choose(count)
        if chosen.isEmpty { return }
        // A thread inherits the CPUs of the thread that starts it. The threads that exist already are restricted one by
        // one, until no new one is found.
        var told: Set<pid_t> = []
        while true {
            let threads = ((try? Folder.names(at: "/proc/\(pid)/task")) ?? []).compactMap { pid_t($0) }
            let new = threads.filter { told.insert($0).inserted }
            if new.isEmpty { return }
            for thread in new { set(thread, chosen) }
        }
    }

    /// The numbers of the next `count` CPUs that the gateway may use. Empty if there are no more CPUs than that.
    package static func choose(_ count: Int) -> [Int] {
        let ours = allowed(0)
        guard count > 0, count < ours.count else { return [] }
        let start = next.add(count, ordering: .relaxed).oldValue
        return (0..<count).map { ours[abs(start &+ $0) % ours.count] }
    }

    /// The numbers of the CPUs that a process may run on. 0 stands for the calling thread.
    package static func allowed(_ pid: Int32) -> [Int] {
        var mask = [UInt](repeating: 0, count: cpusMax / wordBits)
        guard dcf_sched_getaffinity(pid, &mask, cpusMax / 8) > 0 else { return [] }
        return (0..<cpusMax).filter { mask[$0 / wordBits] >> UInt($0 % wordBits) & 1 == 1 }
    }

    private static func set(_ pid: Int32, _ cpus: [Int]) {
        var mask = [UInt](repeating: 0, count: cpusMax / wordBits)
        for cpu in cpus { mask[cpu / wordBits] |= 1 << UInt(cpu % wordBits) }
        // Fails only if the thread has just ended.
        _ = dcf_sched_setaffinity(pid, mask, cpusMax / 8)
    }
}
