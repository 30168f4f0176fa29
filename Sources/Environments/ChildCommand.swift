import Glibc
import Subprocess
import SystemPackage

/// A program that runs to its end beside us: its output comes line by line, and nothing of it outlives the call.
///
/// It starts through the launcher, so that it dies when we do, leads a process group of its own, gets only the variables given
/// and no descriptor but its three. When it ends, when its time is up, and when the caller's task is cancelled, the whole
/// group is killed.
package struct ChildCommand: Sendable {
    /// How a child ended.
    package enum Outcome: Sendable, Hashable, CustomStringConvertible {
        case exited(CInt)
        case signalled(CInt)

        package var isSuccess: Bool { self == .exited(0) }

        package var description: String {
            switch self {
            case .exited(let status): "exit status \(status)"
            case .signalled(let number): "signal \(number)"
            }
        }
    }

    /// A line of output longer than this many bytes is cut into several.
    private static let lineBytesMax = 16 << 10

    /// The path of `dcf-watcher`; nil runs the program directly.
    package var launcher: String?
    /// The program's path and what follows it.
    package var arguments: [String]
    package var variables: [String: String]
    /// The folder it runs in.
    package var folder: String

    package init(launcher: String?, arguments: [String], variables: [String: String], folder: String) {
        self.launcher = launcher
        self.arguments = arguments
        self.variables = variables
        self.folder = folder
    }

    /// Runs it. `onLine` is called for each line of its standard output and error, in order, one at a time.
    package func run(
        timeout: Duration, onLine: @escaping @Sendable (String) -> Void
    ) async throws(ChildCommandError) -> Outcome {
        let result: Result<Outcome, ChildCommandError> = await withTaskGroup(
            of: Result<Outcome, ChildCommandError>?.self
        ) { group in
            group.addTask { await execute(onLine) }
            group.addTask {
                do {
                    try await Task.sleep(for: timeout)
                    return .failure(.timedOut(timeout))
                } catch { return nil }
            }
            var first: Result<Outcome, ChildCommandError>?
            while let ended = await group.next() {
                if first == nil, let ended {
                    first = ended
                    group.cancelAll()
                }
            }
            return first ?? .failure(.cancelled)
        }
        if Task.isCancelled, result != .success(.exited(0)) { throw .cancelled }
        return try result.get()
    }

    private func execute(_ onLine: @escaping @Sendable (String) -> Void) async -> Result<Outcome, ChildCommandError> {
        let command = launcher.map { [$0, "--child", "--parent", String(getpid()), "--"] + arguments } ?? arguments
        let program = command.first ?? ""
        var options = PlatformOptions()
        options.processGroupID = 0
        options.teardownSequence = [.send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .seconds(5))]
        var environment: [Environment.Key: String] = [:]
        for (key, value) in variables { environment[Environment.Key(stringLiteral: key)] = value }
        do {
            let result = try await Subprocess.run(
                .path(FilePath(program)), arguments: Arguments(Array(command.dropFirst())),
                environment: .custom(environment), workingDirectory: FilePath(folder), platformOptions: options,
                input: .none, output: .sequence, error: .combinedWithOutput
            ) { execution in
                var splitter = LineSplitter(limit: Self.lineBytesMax)
                do {
                    for try await piece in execution.standardOutput {
                        piece.withUnsafeBytes { splitter.add($0, each: onLine) }
                    }
                } catch {
                    // It ended while something it had started still holds the pipe, or the task was cancelled.
                }
                splitter.finish(each: onLine)
                await execution.waitForExit()
                // Not reaped yet, so the group's number is still its own.
                kill(-execution.processIdentifier.value, SIGKILL)
            }
            switch result.terminationStatus {
            case .exited(let code): return .success(.exited(code))
            case .signaled(let code): return .success(.signalled(code))
            }
        } catch let error as SubprocessError {
            if Task.isCancelled { return .failure(.cancelled) }
            return .failure(.cannotStart(program: program, reason: error.description))
        } catch {
            return .failure(Task.isCancelled ? .cancelled : .cannotStart(program: program, reason: "\(error)"))
        }
    }
}

extension Execution {
    /// Returns when the process has ended; it stays a zombie until the `run` around it returns.
    package func waitForExit() async {
        // Signal 0 asks for nothing. A teardown waits for the process's end, without polling, for as long as a step allows.
        await teardown(using: [
            .send(signal: Signal(rawValue: 0), allowedDurationToNextStep: .seconds(10 * 365 * 86400))
        ])
    }
}
