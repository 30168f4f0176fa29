internal import CLinux
internal import Glibc
internal import Logging
internal import Platform
internal import ProcessTree
internal import Subprocess
internal import SystemPackage

/// Keeps track of the processes of replicas, so that every process that comes from a replica ends with it and counts as
/// part of it.
///
/// Each replica's process is the root of a tree (`ReplicaTree`). The tree has a mark and, if the gateway may divide its
/// control group, a control group. When the gateway itself ends, in whatever way, a process beside it ends all trees.
final class Containment: Sendable {
    /// How long the process beside the gateway may take when the gateway stops in good order.
    private static let sweepSeconds = 2

    private struct State {
        var lastNumber: UInt32 = 0
        /// A socket that closes when the gateway ends. The process beside the gateway waits for that. -1 without a
        /// process.
        var tie: CInt = -1
        var isStarting = false
    }

    /// The family of the marks of this gateway's trees.
    let family = ProcessMark.newFamily()
    private let launcher: String
    private let logger: Logger
    /// The control group in which the control groups of the trees are made. Nil if the gateway may make none.
    private let groups: String?
    private let state = Lock(State())
    private let found = Lock<(began: Int64, trees: [UInt32: [Int32]])>((0, [:]))

    /// - Parameter launcher: the path of `dcf-watcher`.
    init(launcher: String, logger: Logger) {
        self.launcher = launcher
        self.logger = logger
        groups = ControlGroup.divisible()
    }

    /// Makes the tree of a process that is about to be started.
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
    /// - Parameter moment: a time of the monotonic clock. The answer is not older.
    func members(of mark: ProcessMark, since moment: Int64) -> [Int32] {
        found.withLock { found in
            // One look at the processes serves all callers that waited for it.
            if found.began < moment {
                found = (dcf_monotonic_nanoseconds(), [:])
                ProcessCensus.each(where: { $0.family == family }) { pid, mark, _ in
                    found.trees[mark.number, default: []].append(pid)
                }
            }
            return found.trees[mark.number] ?? []
        }
    }

    // MARK: The end of the gateway

    /// Starts the process that ends all trees when the gateway has ended, if it does not run.
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

    /// Whether a process holds the other end of the socket. It never writes.
    private static func holds(_ tie: CInt) -> Bool {
        var entry = pollfd(fd: tie, events: Int16(POLLIN), revents: 0)
        return tie >= 0 && poll(&entry, 1, 0) == 0
    }

    private func startSweeper() async {
        var ends: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            logger.warning("if this gateway is killed, processes may be left: \(Errno(rawValue: errno))")
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
            logger.warning("if this gateway is killed, processes may be left: \(error)")
        }
    }

    /// Ends the trees that are left, and the process beside the gateway.
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
