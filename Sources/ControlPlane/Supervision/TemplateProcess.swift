internal import CLinux
internal import Glibc
internal import Platform
internal import SystemPackage
internal import WatcherLink

/// A process that has done the imports of some functions, and from which their replicas are forked.
///
/// Replicas go on when their template dies. Only the way in which they end is no longer reported.
final class TemplateProcess: Sendable {
    /// A template has nothing else to do, and answers within milliseconds.
    private static let answerLimit = Duration.seconds(10)

    private typealias Forked = Result<TemplateChild, ReplicaProcessError>

    private struct State {
        var process: ReplicaProcess?
        var isStopping = false
        var hasEnded = false
        /// What the template has reported about its imports. The thread that read the report may not have settled
        /// `outcome` yet when the process has ended.
        var imports: Result<Void, ConstructorFailure>?
        var registration: UInt64?
        var lastFork: UInt64 = 0
        var forks: [UInt64: Promise<Forked>] = [:]
        var reaps: [Int32: Promise<ReplicaExit?>] = [:]
    }

    let key: TemplateKey
    /// Settled when the imports are done or have failed.
    let outcome = Promise<Result<Void, ConstructorFailure>>()
    /// Settled when the template is told to end, or has ended.
    let stopped = Promise<Void>()
    private let watch: DescriptorWatch
    private let channel: TemplateChannel
    private let state = Lock(State(), .templateProcess)
    /// Held while reports are received, so that they stay in order.
    private let reading = Lock((), .templateReports)

    init(key: TemplateKey, watch: DescriptorWatch) throws(FileError) {
        self.key = key
        self.watch = watch
        channel = try TemplateChannel()
        let number = try watch.add(channel.descriptor) { [self] in readReports() }
        state.withLock { $0.registration = number }
    }

    /// The ID of its process. 0 while there is none.
    var pid: Int32 { state.withLock { $0.process?.pid ?? 0 } }

    /// Whether replicas can be forked from it.
    var isUsable: Bool { state.withLock { !$0.hasEnded && !$0.isStopping } }

    // MARK: Start and end

    /// Starts the template and waits for its end.
    ///
    /// - Parameters:
    ///   - launcher: the path of `dcf-watcher`.
    ///   - output, error: become its standard output and standard error.
    ///   - tree: the tree of which it is the root. Its replicas are not in that tree; each has a tree of its own.
    func run(
        launcher: String, output: consuming OwnedDescriptor, error: consuming OwnedDescriptor, tree: ReplicaTree? = nil
    ) async {
        var variables = key.variables
        variables[WatcherVariables.preload] = key.modules.joined(separator: ",")
        let launch = ReplicaLaunch(
            launcher: launcher, python: key.python, variables: variables, folder: key.folder, isTemplate: true,
            tree: tree)
        let how: String
        let cause: DeathCause
        do {
            let exit = try await ReplicaProcess.run(
                launch, input: channel.takeOtherEnd(), output: output, error: error
            ) { process in
                let isStopping = state.withLock { state in
                    state.process = process
                    return state.isStopping
                }
                if isStopping { process.kill() }
            }
            (how, cause) = ("\(exit)", exit == .unavailable ? .elsewhere : exit.cause)
        } catch {
            (how, cause) = ("\(error)", .elsewhere)
        }
        readReports()
        end(how, cause)
    }

    /// Ends the template if the imports have not ended after this time.
    func end(after timeout: Duration) async {
        guard await outcome.value(within: timeout) == nil else { return }
        outcome.settle(.failure(Self.tooSlow(timeout)))
        stop()
    }

    /// Ends the template. Its replicas go on.
    func stop() {
        let process = state.withLock { state in
            state.isStopping = true
            return state.process
        }
        stopped.settle(())
        process?.kill()
    }

    static func tooSlow(_ timeout: Duration) -> ConstructorFailure {
        ConstructorFailure(
            summary: "preload: the imports had not ended after \(timeout.inSeconds) s (timeout.start)", traceback: "")
    }

    /// Notes that the template has ended or could not be started.
    func end(_ how: String, _ cause: DeathCause) {
        unwatch()
        stopped.settle(())
        let (imports, forks, reaps) = state.withLock { state in
            state.hasEnded = true
            defer { (state.forks, state.reaps) = ([:], [:]) }
            return (state.imports, state.forks, state.reaps)
        }
        let modules = key.modules.joined(separator: ", ")
        outcome.settle(
            imports
                ?? .failure(
                    ConstructorFailure(
                        summary: "preload: importing \(modules) ended in \(how)", traceback: "",
                        isElsewhere: cause == .elsewhere)))
        for fork in forks.values { fork.settle(.failure(Self.failure("the template has ended: \(how)"))) }
        for reap in reaps.values { reap.settle(nil) }
    }

    private func unwatch() {
        let registration = state.withLock { $0.registration.take() }
        if let registration { watch.remove(registration, channel.descriptor) }
    }

    private static func failure(_ reason: String) -> ReplicaProcessError {
        ReplicaProcessError(program: "a replica from its template", reason: reason)
    }

    // MARK: Requests

    /// Forks a replica's process. The process waits at a barrier until it is part of its tree, and ends if that fails.
    ///
    /// - Parameters:
    ///   - variables: its environment variables beyond those of the template.
    ///   - cpus: the CPUs that it may use. Empty is no restriction.
    ///   - output, error: become its standard output and standard error.
    ///   - tree: the tree of which it is the root.
    func fork(
        variables: [String: String], cpus: [Int], output: consuming OwnedDescriptor, error: consuming OwnedDescriptor,
        tree: ReplicaTree? = nil
    ) async throws(ReplicaProcessError) -> TemplateChild {
        let barrier = try ForkBarrier()
        let answer = Promise<Forked>()
        let number = state.withLock { state -> UInt64? in
            guard !state.hasEnded, !state.isStopping else { return nil }
            state.lastFork += 1
            state.forks[state.lastFork] = answer
            return state.lastFork
        }
        guard let number else { throw Self.failure("the template has ended") }
        let isSent = channel.send(
            .fork(number: number, cpus: cpus, variables: variables),
            descriptors: [output.rawValue, error.rawValue, barrier.inner])
        guard isSent, let forked = await answer.value(within: Self.answerLimit) else {
            // The template hangs. If it forks a process after all, that process finds a closed barrier.
            stop()
            throw Self.failure("the template does not answer")
        }
        let child = try forked.get()
        tree?.adopt(child.pid)
        barrier.open()
        return child
    }

    /// Lets the template reap a process that has ended. From now on the gateway does not use its ID.
    ///
    /// - Returns: how the process ended.
    func reap(_ child: TemplateChild) async -> ReplicaExit {
        let answer = Promise<ReplicaExit?>()
        let isThere = state.withLock { state in
            guard !state.hasEnded, !state.isStopping else { return false }
            state.reaps[child.pid] = answer
            return true
        }
        guard isThere else { return child.reapOrphan() }
        guard channel.send(.reap(pid: child.pid)), let exit = await answer.value(within: Self.answerLimit) else {
            stop()
            return child.reapOrphan()
        }
        return exit ?? child.reapOrphan()
    }

    // MARK: Reports

    private func readReports() {
        // A report and its promise are taken under the same lock. The promises are settled after it.
        let news = reading.withLock { _ in
            var news: [() -> Void] = []
            while true {
                switch channel.receive() {
                case .nothing: return news
                case .message(let message):
                    news.append(TemplateReport(message).map { effect(of: $0) } ?? { [self] in stop() })
                case .ended:
                    // Without the channel the template is of no use.
                    news.append { [self] in
                        unwatch()
                        stop()
                    }
                    return news
                }
            }
        }
        for tell in news { tell() }
    }

    /// - Returns: a function that tells those who wait for the report.
    private func effect(of report: TemplateReport) -> () -> Void {
        switch report {
        case .ready: return imported(.success(()))
        case .refused(let failure): return imported(.failure(failure))
        case .failed(let number, let reason):
            let fork = state.withLock { $0.forks.removeValue(forKey: number) }
            return { fork?.settle(.failure(Self.failure(reason))) }
        case .forked(let number, let pid):
            let fork = state.withLock { $0.forks.removeValue(forKey: number) }
            return { [watch] in
                do throws(FileError) {
                    // The template has not reaped the process yet, even if it has ended.
                    fork?.settle(.success(try TemplateChild(pid: pid, watch: watch)))
                } catch {
                    fork?.settle(.failure(Self.failure("\(error)")))
                }
            }
        case .ended(let pid, let status):
            let exit: ReplicaExit = status & 0x7F == 0 ? .status(status >> 8 & 0xFF) : .signal(status & 0x7F)
            let reap = state.withLock { $0.reaps.removeValue(forKey: pid) }
            return { reap?.settle(exit) }
        }
    }

    private func imported(_ result: Result<Void, ConstructorFailure>) -> () -> Void {
        state.withLock { $0.imports = result }
        return { [outcome] in outcome.settle(result) }
    }
}
