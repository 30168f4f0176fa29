import Glibc
import Platform
import Subprocess
import SystemPackage

/// A program that runs as a child process until it ends. Its output arrives line by line. No process of it outlives the
/// call.
///
/// The child starts through the launcher, so that it ends with this process. It leads its own process group, and has
/// only the given variables and its three standard descriptors. The whole group is killed when the child ends, when its
/// time is up, and when the caller's task is cancelled.
package struct ChildCommand: Sendable {
    /// How a child process ended.
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

    /// The longest line of output in bytes. A longer line is cut into several.
    private static let lineBytesMax = 16 << 10

    /// The path of `dcf-watcher`. Nil runs the program directly.
    package var launcher: String?
    /// The program's path, then its arguments.
    package var arguments: [String]
    package var variables: [String: String]
    /// The working directory.
    package var folder: String

    package init(launcher: String?, arguments: [String], variables: [String: String], folder: String) {
        self.launcher = launcher
        self.arguments = arguments
        self.variables = variables
        self.folder = folder
    }

    /// Runs the program. Calls `onLine` for each line of standard output and standard error, in order, one at a time.
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
                    // The child ended while one of its own children still holds the pipe, or the task was cancelled.
                }
                splitter.finish(each: onLine)
                await execution.waitForExit()
                // The child is not reaped yet, so its number still names its group.
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
    /// Returns when the process has ended. The process stays a zombie until the `run` around this call returns.
    package func waitForExit() async {
        // Signal 0 does nothing. A teardown waits for the end of the process, without polling, as long as its step
        // allows.
        await teardown(using: [
            .send(signal: Signal(rawValue: 0), allowedDurationToNextStep: .seconds(10 * 365 * 86400))
        ])
    }
}

/// Why a child process has no exit status.
package enum ChildCommandError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The program could not be started.
    case cannotStart(program: String, reason: String)
    /// The process group was killed when its time was up.
    case timedOut(Duration)
    /// The process group was killed because the caller's task was cancelled.
    case cancelled

    package var description: String {
        switch self {
        case .cannotStart(let program, let reason): "cannot start \(program.quotedName): \(reason)"
        case .timedOut(let limit): "it was ended after \(limit)"
        case .cancelled: "cancelled"
        }
    }
}
