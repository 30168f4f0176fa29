package import Environments
import Glibc
import Locks
import Subprocess
import SystemPackage

/// The process of one replica while it runs, and how it ended afterwards.
///
/// It leads a process group of its own. When it has ended all that came from it is ended too. It is reaped by `run`, and only after
/// that; until then its number is its own, and signals cannot go astray.
package final class ReplicaProcess: Sendable {
    private enum State {
        case running([CheckedContinuation<ReplicaExit, Never>])
        /// Ended, and its number may be another's by now.
        case ending([CheckedContinuation<ReplicaExit, Never>])
        case ended(ReplicaExit)
    }

    package let pid: Int32
    private let state = Lock(State.running([]))
    /// Where a template has made it.
    private let child: TemplateChild?
    private let tree: ReplicaTree?

    private init(pid: pid_t, tree: ReplicaTree?) {
        self.pid = pid
        self.tree = tree
        child = nil
    }

    init(child: TemplateChild, tree: ReplicaTree?) {
        pid = child.pid
        self.child = child
        self.tree = tree
    }

    /// Starts a replica and waits for its end; cancelling the task kills it.
    ///
    /// - Parameters:
    ///   - input: becomes its standard input, which is empty by default.
    ///   - output: the end of a pipe that becomes its standard output; closed here once it is started, or could not be.
    ///   - error: the same for its standard error.
    ///   - onStart: gets the process before anything else happens to it. Must not block.
    package static func run(
        _ launch: ReplicaLaunch, input: consuming OwnedDescriptor? = nil, output: consuming OwnedDescriptor,
        error: consuming OwnedDescriptor, onStart: (ReplicaProcess) -> Void
    ) async throws(ReplicaProcessError) -> ReplicaExit {
        var options = PlatformOptions()
        options.processGroupID = 0
        options.teardownSequence = [
            .send(signal: .kill, toProcessGroup: launch.tree == nil, allowedDurationToNextStep: .seconds(5))
        ]
        var environment: [Subprocess.Environment.Key: String] = [:]
        for (key, value) in launch.variables { environment[.init(stringLiteral: key)] = value }
        let inputDescriptor = FileDescriptor(rawValue: try inputOrNothing(input).release())
        let outputDescriptor = FileDescriptor(rawValue: output.release())
        let errorDescriptor = FileDescriptor(rawValue: error.release())
        var isOpen = true
        func closePipes() {
            guard isOpen else { return }
            isOpen = false
            try? inputDescriptor.close()
            try? outputDescriptor.close()
            try? errorDescriptor.close()
        }
        defer { closePipes() }
        var started: ReplicaProcess?
        do {
            let result = try await Subprocess.run(
                .path(FilePath(launch.launcher)), arguments: Arguments(launch.arguments(parent: getpid())),
                environment: .custom(environment), workingDirectory: FilePath(launch.folder), platformOptions: options,
                input: .fileDescriptor(inputDescriptor, closeAfterSpawningProcess: false),
                output: .fileDescriptor(outputDescriptor, closeAfterSpawningProcess: false),
                error: .fileDescriptor(errorDescriptor, closeAfterSpawningProcess: false)
            ) { execution in
                closePipes()
                let process = ReplicaProcess(pid: execution.processIdentifier.value, tree: launch.tree)
                started = process
                if let cpus = launch.cpus { CPUAffinity.restrict(process.pid, toCPUs: cpus) }
                onStart(process)
                await execution.waitForExit()
                await process.ending()
            }
            let exit: ReplicaExit =
                switch result.terminationStatus {
                case .exited(let status): .status(status)
                case .signaled(let number): .signal(number)
                }
            started?.ended(exit)
            return exit
        } catch {
            guard let started else { throw ReplicaProcessError(program: launch.launcher, reason: "\(error)") }
            let exit = ReplicaExit.unknown("\(error)")
            started.ended(exit)
            return exit
        }
    }

    private static func inputOrNothing(
        _ input: consuming OwnedDescriptor?
    ) throws(ReplicaProcessError) -> OwnedDescriptor {
        if let input { return input }
        do throws(FileError) {
            return try OwnedDescriptor("/dev/null", flags: O_RDONLY)
        } catch { throw ReplicaProcessError(program: "a replica", reason: "\(error)") }
    }

    /// Waits for the end. Answers at once when that is past.
    package func exit() async -> ReplicaExit {
        await withCheckedContinuation { continuation in
            let exit = state.withLock { state -> ReplicaExit? in
                switch state {
                case .running(let waiters): state = .running(waiters + [continuation])
                case .ending(let waiters): state = .ending(waiters + [continuation])
                case .ended(let exit): return exit
                }
                return nil
            }
            if let exit { continuation.resume(returning: exit) }
        }
    }

    /// Ends it at once; what it started follows.
    package func kill() {
        if tree != nil { return signal(SIGKILL) }
        whileRunning { _ = Glibc.kill(-pid, SIGKILL) }
    }

    /// Sends it, and only it, a signal.
    package func signal(_ number: CInt) {
        whileRunning {
            if let child { child.signal(number) } else { _ = Glibc.kill(pid, number) }
        }
    }

    private func whileRunning(_ work: () -> Void) {
        state.withLock { state in
            if case .running = state { work() }
        }
    }

    /// It is a zombie now: its number is still its own, and so its group's. Ends what it left.
    func ending() async {
        if let tree { await tree.end(root: pid) }
        state.withLock { state in
            if case .running(let waiters) = state {
                _ = Glibc.kill(-pid, SIGKILL)
                state = .ending(waiters)
            }
        }
    }

    func ended(_ exit: ReplicaExit) {
        let waiters = state.withLock { state -> [CheckedContinuation<ReplicaExit, Never>] in
            defer { state = .ended(exit) }
            switch state {
            case .running(let waiters), .ending(let waiters): return waiters
            case .ended: return []
            }
        }
        assertNoLockIsHeld()
        for waiter in waiters { waiter.resume(returning: exit) }
    }
}
