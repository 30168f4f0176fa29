internal import CLinux
internal import Environments
internal import Glibc
internal import Locks
internal import Logging
internal import ProcessTree
internal import Subprocess
internal import SystemPackage

/// What keeps the processes of replicas together, so that all that comes from one ends with it, and counts as its.
///
/// Each replica's process is the root of a tree (`ReplicaTree`) with a mark of its own, and a control group of its own where the
/// gateway's may be divided. When the gateway itself ends, in whatever way, a process beside it ends all trees.
final class Containment: Sendable {
    /// How long the process beside the gateway may take at an end in good order.
    private static let sweepSeconds = 2

    private struct State {
        var lastNumber: UInt32 = 0
        /// A socket that ends with the gateway; the process beside it waits for that. -1: there is none.
        var tie: CInt = -1
        var isStarting = false
    }

    /// Whose the trees are.
    let family = ProcessMark.newFamily()
    private let launcher: String
    private let logger: Logger
    /// The control group in which those of the trees are made.
    private let groups: String?
    private let state = Lock(State())
    private let found = Lock<(began: Int64, trees: [UInt32: [Int32]])>((0, [:]))

    /// - Parameter launcher: the path of `dcf-watcher`.
    init(launcher: String, logger: Logger) {
        self.launcher = launcher
        self.logger = logger
        groups = ControlGroup.divisible()
    }

    /// The tree of a process that is to be started.
    func makeTree() -> ReplicaTree {
        let number = state.withLock { state in
            state.lastNumber &+= 1
            return state.lastNumber
        }
        let mark = ProcessMark(family: family, number: number)
        return ReplicaTree(mark, group: groups.flatMap { ControlGroup.make(in: $0, mark) }, in: self)
    }

    /// The processes that carry the mark and have not ended.
    ///
    /// - Parameter moment: on the monotonic clock; the answer is not older.
    func members(of mark: ProcessMark, since moment: Int64) -> [Int32] {
        found.withLock { found in
            // One look serves all that wait for one meanwhile.
            if found.began < moment {
                found = (dcf_monotonic_nanoseconds(), [:])
                ProcessCensus.each(where: { $0.family == family }) { pid, mark, _ in
                    found.trees[mark.number, default: []].append(pid)
                }
            }
            return found.trees[mark.number] ?? []
        }
    }

    // MARK: The gateway's own end

    /// Sees to it that there is a process beside this one that ends all trees when this one has ended.
    func prepareForTheEnd() async {
        let isWanted = state.withLock { state in
            if state.isStarting || Self.holds(state.tie) { return false }
            state.isStarting = true
            return true
        }
        guard isWanted else { return }
        await startSweeper()
        state.withLock { $0.isStarting = false }
    }

    /// Whether there is somebody at the other end, who never says anything.
    private static func holds(_ tie: CInt) -> Bool {
        var entry = pollfd(fd: tie, events: Int16(POLLIN), revents: 0)
        return tie >= 0 && poll(&entry, 1, 0) == 0
    }

    private func startSweeper() async {
        var ends: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            logger.warning("should this gateway be killed, processes may be left: \(Errno(rawValue: errno))")
            return
        }
        let arguments = ["--sweep", "\(family)"] + (groups.map { ["--groups", $0] } ?? [])
        do {
            _ = try await Subprocess.run(
                .path(FilePath(launcher)), arguments: Arguments(arguments), environment: .custom([:]),
                input: .fileDescriptor(FileDescriptor(rawValue: ends[1]), closeAfterSpawningProcess: true),
                output: .discarded, error: .discarded)
            let before = state.withLock { [tie = ends[0]] state in
                defer { state.tie = tie }
                return state.tie
            }
            if before >= 0 { close(before) }
        } catch {
            close(ends[0])
            logger.warning("should this gateway be killed, processes may be left: \(error)")
        }
    }

    /// Ends what is left, and the process beside this one.
    func end() {
        let tie = state.withLock { state in
            defer { state.tie = -1 }
            return state.tie
        }
        guard tie >= 0 else { return }
        defer { close(tie) }
        shutdown(tie, Int32(SHUT_WR))
        var entry = pollfd(fd: tie, events: Int16(POLLIN), revents: 0)
        _ = retrying { poll(&entry, 1, Int32(Self.sweepSeconds) * 1_000) }
    }
}
