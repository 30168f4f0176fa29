internal import CLinux
internal import Environments
internal import Glibc
internal import Locks
internal import SystemPackage

/// A process that has done the imports of some functions, and forks their replicas.
///
/// It is not the life of its replicas: when it dies they go on, and only how they end is not told any more.
final class TemplateProcess: Sendable {
    /// A template with nothing else to do answers within milliseconds.
    private static let answerLimit = Duration.seconds(10)

    private typealias Forked = Result<TemplateChild, ReplicaProcessError>

    private struct State {
        var process: ReplicaProcess?
        var isStopping = false
        var hasEnded = false
        /// What it has said of its imports. Whoever has read that may not have told it yet when the process has ended.
        var imports: Result<Void, ConstructorFailure>?
        var registration: UInt64?
        var lastFork: UInt64 = 0
        var forks: [UInt64: Promise<Forked>] = [:]
        var reaps: [Int32: Promise<ReplicaExit?>] = [:]
    }

    let key: TemplateKey
    /// Settled when the imports are done, or have failed.
    let outcome = Promise<Result<Void, ConstructorFailure>>()
    /// Settled when it is told to end, or has ended.
    let stopped = Promise<Void>()
    private let watch: DescriptorWatch
    private let channel: TemplateChannel
    private let state = Lock(State(), .templateProcess)
    /// Held while messages are taken, so that they are in order.
    private let reading = Lock((), .templateReports)

    init(key: TemplateKey, watch: DescriptorWatch) throws(FileError) {
        self.key = key
        self.watch = watch
        channel = try TemplateChannel()
        let number = try watch.add(channel.descriptor) { [self] in readReports() }
        state.withLock { $0.registration = number }
    }

    /// The number of its process; 0 while there is none.
    var pid: Int32 { state.withLock { $0.process?.pid ?? 0 } }

    /// Whether replicas can be had of it.
    var isUsable: Bool { state.withLock { !$0.hasEnded && !$0.isStopping } }

    // MARK: Its life

    /// Starts it and waits for its end.
    ///
    /// - Parameters:
    ///   - launcher: the path of `dcf-watcher`.
    ///   - output, error: become its standard output and standard error.
    ///   - tree: what it is the root of. Its replicas are not in that; each has a tree of its own.
    func run(
        launcher: String, output: consuming OwnedDescriptor, error: consuming OwnedDescriptor, tree: ReplicaTree? = nil
    ) async {
        var variables = key.variables
        variables["DCF_PRELOAD"] = key.modules.joined(separator: ",")
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

    /// Ends it when the imports have not ended after this time.
    func end(after timeout: Duration) async {
        guard await outcome.value(within: timeout) == nil else { return }
        outcome.settle(.failure(Self.tooSlow(timeout)))
        stop()
    }

    /// Ends it; its replicas go on.
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

    /// It has ended, or could not be started.
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

    // MARK: What is asked of it

    /// Makes a replica's process. It does not begin before the gate, which comes back, is opened, and ends when the gate is
    /// closed instead.
    ///
    /// - Parameters:
    ///   - variables: what it gets beyond the template's own.
    ///   - cpus: those that it may use; empty is no restriction.
    ///   - output, error: become its standard output and standard error.
    ///   - tree: what it is the root of.
    func fork(
        variables: [String: String], cpus: [Int], output: consuming OwnedDescriptor, error: consuming OwnedDescriptor,
        tree: ReplicaTree? = nil
    ) async throws(ReplicaProcessError) -> TemplateChild {
        let gate = try Gate()
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
            descriptors: [output.rawValue, error.rawValue, gate.inner])
        guard isSent, let forked = await answer.value(within: Self.answerLimit) else {
            // It hangs. Whatever it may have forked comes to a closed gate.
            stop()
            throw Self.failure("the template does not answer")
        }
        let child = try forked.get()
        tree?.adopt(child.pid)
        gate.open()
        return child
    }

    /// Says that nobody will use the number of a process that has ended any more.
    ///
    /// - Returns: how it ended.
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

    // MARK: What it says

    private func readReports() {
        // Under the lock whoever takes a message takes its promise, too; those are settled after it.
        let news = reading.withLock { _ in
            var news: [() -> Void] = []
            while true {
                switch channel.receive() {
                case .nothing: return news
                case .message(let message):
                    news.append(TemplateReport(message).map { take($0) } ?? { [self] in stop() })
                case .ended:
                    // Without the channel it is of no use.
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

    /// - Returns: tells those who wait for it.
    private func take(_ report: TemplateReport) -> () -> Void {
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
                    // The template has not reaped it, whatever has become of it.
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
