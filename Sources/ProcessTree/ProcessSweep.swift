import CLinux
import Glibc

/// The end of what a process left behind when it ended, one step after another.
///
/// At first nothing is done: what ends by itself once its pipes are closed is to have the time for it. What is still there then is asked
/// to end (SIGTERM), and what is there after that is killed, until there is nothing any more. More than a few are killed at once:
/// they may be forking. Python's resource trackers, which remove what the dead had shared once nobody else holds their pipe, have
/// longer than all others.
package struct ProcessSweep {
    package enum Step: Equatable {
        case wait
        /// Each of them gets SIGTERM, and SIGCONT so that it can hear it.
        case ask
        /// Each of them gets SIGKILL that is not a resource tracker.
        case killOthers
        /// Each of them gets SIGKILL.
        case kill
        /// None is there.
        case done
        /// The same are there after all that time: the kernel does not let go of them.
        case giveUp
    }

    /// How long what is left may take to end by itself, and after it was asked, in nanoseconds.
    package static let quietNanos: Int64 = 100_000_000
    package static let askedNanos: Int64 = 300_000_000
    /// The first of these after a gateway's end: replicas that work on nothing then have half a second for their own.
    package static let lastQuietNanos: Int64 = 600_000_000
    /// How long a resource tracker may take when the others have been killed, in nanoseconds.
    package static let trackerNanos: Int64 = 700_000_000
    /// How long those that were killed may take to end, unless there are others by then.
    package static let killNanos: Int64 = 5_000_000_000
    /// More of one tree are not waited for.
    package static let crowd = 64
    /// How often is looked, in nanoseconds.
    package static let pauseNanos: Int64 = 5_000_000
    /// How often is killed before anything else is done.
    private static let killPasses = 50

    /// What the command line of a resource tracker has in it: multiprocessing's and joblib's, and what PyTorch has in its place.
    private static let trackers: [[UInt8]] = [Array("resource_tracker".utf8), Array("torch_shm_manager".utf8)]

    private let began: Int64
    /// How long nothing is done, in nanoseconds.
    private let quiet: Int64
    private let isPatient: Bool
    private var isAsked = false
    private var killed: (pids: Set<Int32>, since: Int64)?
    private var sawSome = false
    private var isConfirmed = false

    /// - Parameter isPatient: whether what is left may take its time.
    /// - Parameter quiet: how long nothing is done, in nanoseconds.
    package init(at now: Int64, isPatient: Bool = true, quiet: Int64 = ProcessSweep.quietNanos) {
        began = now
        self.isPatient = isPatient
        self.quiet = quiet
    }

    /// - Parameters:
    ///   - pids: those that are there.
    ///   - largest: how many of them are of one tree, at most; nil if all are of one.
    package mutating func next(_ pids: [Int32], largest: Int? = nil, at now: Int64) -> Step {
        guard !pids.isEmpty else {
            // One that forked and ended while it was looked for may have been overlooked: the next look finds its child.
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

    /// Does what the step says to all that belong to it.
    package static func act(_ step: Step, where belongs: (ProcessMark) -> Bool) {
        switch step {
        case .ask:
            ProcessCensus.each(where: belongs) { _, _, process in
                _ = dcf_pidfd_send_signal(process, SIGTERM)
                _ = dcf_pidfd_send_signal(process, SIGCONT)
            }
        case .killOthers, .kill:
            // One that forks, and leaves that to its child, is met before it does when it is looked for often enough.
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

    /// Whether it is a resource tracker.
    private static func isTracker(_ pid: Int32) -> Bool {
        let file = open("/proc/\(pid)/cmdline", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return withUnsafeTemporaryAllocation(byteCount: 1_024, alignment: 1) { buffer in
            let words = buffer.prefix(max(read(file, buffer.baseAddress, buffer.count), 0))
            return trackers.contains { name in words.indices.contains { words[$0...].starts(with: name) } }
        }
    }

    /// All of it after the end of whoever started the trees, on this thread.
    ///
    /// - Parameter alsoKill: called whenever something is killed.
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
