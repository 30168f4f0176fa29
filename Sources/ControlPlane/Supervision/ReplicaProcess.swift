import Environments
import Glibc
package import Platform
import Subprocess
import SystemPackage

/// The process of one replica, while it runs and after it has ended.
///
/// It leads a process group of its own. When it has ended, everything that came from it is ended, too. `run` reaps it
/// after that. Until then no other process can have its ID, so signals reach the right process.
package final class ReplicaProcess: Sendable {
    private enum State {
        case running([CheckedContinuation<ReplicaExit, Never>])
        /// It has ended, and another process may have its ID by now.
        case ending([CheckedContinuation<ReplicaExit, Never>])
        case ended(ReplicaExit)
    }

    package let pid: Int32
    private let state = Lock(State.running([]))
    /// The process as its template made it. Nil if it was started by itself.
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

    /// Starts a replica's process and waits for its end. Cancelling the task kills it.
    ///
    /// - Parameters:
    ///   - input: becomes its standard input, which is empty by default.
    ///   - output: the end of a pipe that becomes its standard output. It is closed here after the start, whether or
    ///     not the start succeeds.
    ///   - error: the end of a pipe that becomes its standard error. It is closed like `output`.
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

    /// Waits for the end, and returns how the process ended. Returns at once if it has ended already.
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

    /// Kills it. Everything that it started is ended after it.
    package func kill() {
        if tree != nil { return signal(SIGKILL) }
        whileRunning { _ = Glibc.kill(-pid, SIGKILL) }
    }

    /// Sends a signal to this process alone.
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

    /// Ends everything that the process left. The process is a zombie now, so its ID and its group's ID are still its
    /// own.
    func ending() async {
        if let tree { await tree.end(root: pid) }
        state.withLock { state in
            if case .running(let waiters) = state {
                _ = Glibc.kill(-pid, SIGKILL)
                state = .ending(waiters)
            }
        }
    }

    /// Notes how the process ended, and tells those who wait for that.
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

extension ReplicaProcess {
    /// Makes a template fork a replica's process, and waits for the end of the process. Cancelling the task kills the
    /// process.
    ///
    /// - Parameters:
    ///   - launch: the parameters for a process that is started by itself. Variables that the template has already are
    ///     left out.
    ///   - output, error, onStart: as for the `run` above.
    static func run(
        _ launch: ReplicaLaunch, from template: TemplateProcess, output: consuming OwnedDescriptor,
        error: consuming OwnedDescriptor, onStart: (ReplicaProcess) -> Void
    ) async throws(ReplicaProcessError) -> ReplicaExit {
        let common = template.key.variables
        let child = try await template.fork(
            variables: launch.variables.filter { common[$0.key] != $0.value },
            cpus: launch.cpus.map { CPUAffinity.choose($0) } ?? [], output: output, error: error, tree: launch.tree)
        let process = ReplicaProcess(child: child, tree: launch.tree)
        onStart(process)
        await withTaskCancellationHandler {
            _ = await child.end.value()
        } onCancel: {
            process.kill()
        }
        await process.ending()
        let exit = await template.reap(child)
        process.ended(exit)
        return exit
    }
}

/// Why a replica's process could not be started.
package struct ReplicaProcessError: Error, Sendable, Hashable, CustomStringConvertible {
    package let program: String
    package let reason: String

    package var description: String { "cannot start \(program): \(reason)" }
}
