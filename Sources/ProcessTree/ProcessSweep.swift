import CLinux
import Glibc

/// Ends the processes that are left when the root of their tree has ended, step by step.
///
/// First it waits: many processes end by themselves once their pipes are closed. Then it asks the rest to end
/// (SIGTERM), and then it kills what is left until no process is there. If a tree has more than ``crowd`` processes, it
/// kills them without waiting: they may be forking. Python's resource trackers get more time than the others: they
/// remove the shared memory of processes that were killed, once no other process holds their pipe.
package struct ProcessSweep {
    package enum Step: Equatable {
        case wait
        /// Each process gets SIGTERM, and SIGCONT so that a stopped process handles it.
        case ask
        /// Each process that is not a resource tracker gets SIGKILL.
        case killOthers
        /// Each process gets SIGKILL.
        case kill
        /// No process is there.
        case done
        /// The same processes are still there after ``killNanos``: the kernel cannot end them.
        case giveUp
    }

    /// How long processes may take to end by themselves, in nanoseconds.
    package static let quietNanos: Int64 = 100_000_000
    /// How long processes may take to end after SIGTERM, in nanoseconds.
    package static let askedNanos: Int64 = 300_000_000
    /// The time to end by themselves after a gateway's end, in nanoseconds: idle replicas then take half a second for
    /// their exit handlers.
    package static let lastQuietNanos: Int64 = 600_000_000
    /// How long a resource tracker may take after the others have been killed, in nanoseconds.
    package static let trackerNanos: Int64 = 700_000_000
    /// How long killed processes may take to end, in nanoseconds; it begins again when other processes are there.
    package static let killNanos: Int64 = 5_000_000_000
    /// A tree with more processes is killed without waiting.
    package static let crowd = 64
    /// The pause between two passes, in nanoseconds.
    package static let pauseNanos: Int64 = 5_000_000
    /// How many passes one killing step makes at most.
    private static let killPasses = 50

    /// Parts of the command lines of resource trackers: multiprocessing's and joblib's, and PyTorch's own.
    private static let trackers: [[UInt8]] = [Array("resource_tracker".utf8), Array("torch_shm_manager".utf8)]

    private let began: Int64
    /// How long processes may take to end by themselves, in nanoseconds.
    private let quiet: Int64
    private let isPatient: Bool
    private var isAsked = false
    private var killed: (pids: Set<Int32>, since: Int64)?
    private var sawSome = false
    private var isConfirmed = false

    /// - Parameters:
    ///   - isPatient: whether processes get time to end by themselves; otherwise they are killed at once.
    ///   - quiet: how long they may take to end by themselves, in nanoseconds.
    package init(at now: Int64, isPatient: Bool = true, quiet: Int64 = ProcessSweep.quietNanos) {
        began = now
        self.isPatient = isPatient
        self.quiet = quiet
    }

    /// - Parameters:
    ///   - pids: the processes that are there.
    ///   - largest: the number of processes in the largest tree; nil if all are of one tree.
    package mutating func next(_ pids: [Int32], largest: Int? = nil, at now: Int64) -> Step {
        guard !pids.isEmpty else {
            // A pass can miss a process that forks and ends meanwhile; the next pass finds its child.
            defer { isConfirmed = true }
            return sawSome && !isConfirmed ? .wait : .done
        }
        sawSome = true
        isConfirmed = false
        let waited = now - began
        let isTrackersTurn = isPatient && waited < quiet + Self.askedNanos + Self.trackerNanos
        if let killed {
            let same = Set(pids)
            if killed.pids != same { self.killed = (same, now) }
            if killed.pids == same, now - killed.since > Self.killNanos { return .giveUp }
            return isTrackersTurn ? .killOthers : .kill
        }
        if !isPatient || largest ?? pids.count > Self.crowd || waited >= quiet + Self.askedNanos {
            killed = (Set(pids), now)
            return isTrackersTurn ? .killOthers : .kill
        }
        if waited >= quiet, !isAsked {
            isAsked = true
            return .ask
        }
        return .wait
    }

    /// Does a step to all processes with a mark for which `belongs` is true.
    package static func act(_ step: Step, where belongs: (ProcessMark) -> Bool) {
        switch step {
        case .ask:
            ProcessCensus.each(where: belongs) { _, _, process in
                _ = dcf_pidfd_send_signal(process, SIGTERM)
                _ = dcf_pidfd_send_signal(process, SIGCONT)
            }
        case .killOthers, .kill:
            // A process may fork and end before a pass reaches it, again and again. Many passes meet it at some time.
            for _ in 0..<killPasses {
                var count = 0
                ProcessCensus.each(where: belongs) { pid, _, process in
                    if step == .killOthers, isTracker(pid) { return }
                    count += 1
                    _ = dcf_pidfd_send_signal(process, SIGKILL)
                }
                if count == 0 { return }
            }
        case .wait, .done, .giveUp: break
        }
    }

    /// Whether a process is a resource tracker.
    private static func isTracker(_ pid: Int32) -> Bool {
        let file = open("/proc/\(pid)/cmdline", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return withUnsafeTemporaryAllocation(byteCount: 1_024, alignment: 1) { buffer in
            let words = buffer.prefix(max(read(file, buffer.baseAddress, buffer.count), 0))
            return trackers.contains { name in words.indices.contains { words[$0...].starts(with: name) } }
        }
    }

    /// Does the whole sweep on this thread, after the process that started the trees has ended.
    ///
    /// - Parameter alsoKill: called before each killing step that spares no process.
    package static func run(
        isPatient: Bool = true, where belongs: (ProcessMark) -> Bool, alsoKill: () -> Void = {}
    ) {
        var sweep = ProcessSweep(at: dcf_monotonic_nanoseconds(), isPatient: isPatient, quiet: lastQuietNanos)
        while true {
            var pids: [Int32] = []
            var trees: [ProcessMark: Int] = [:]
            ProcessCensus.each(where: belongs) { pid, mark, _ in
                pids.append(pid)
                trees[mark, default: 0] += 1
            }
            let step = sweep.next(pids, largest: trees.values.max() ?? 0, at: dcf_monotonic_nanoseconds())
            if step == .done || step == .giveUp { return }
            if step == .kill { alsoKill() }
            act(step, where: belongs)
            var pause = timespec(tv_sec: 0, tv_nsec: step == .kill ? 1_000_000 : Int(pauseNanos))
            nanosleep(&pause, nil)
        }
    }
}
