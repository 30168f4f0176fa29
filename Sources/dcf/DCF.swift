import ArgumentParser
import FunctionConfig
import Glibc
import ProcessTree

/// The command line program `dcf`.
@main
struct DCF: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dcf",
        abstract: "Deploys and calls functions on a gateway.",
        discussion: """
            Example:
              dcf function init echo --runtime python3
              dcf function create -f config.yaml
              echo hello | dcf function call echo

            Completion for your shell (bash, zsh or fish):
              source <(dcf --generate-completion-script bash)
            """,
        version: Release.version,
        subcommands: [FunctionCommand.self, RuntimeCommand.self, VersionCommand.self])

    static func main() async {
        let arguments = ProcessArguments.words
        if let misspelling = CommandPath.misspelling(in: arguments, root: DCF.self) {
            Console.note("error: \(misspelling)")
            end(ExitCode.validationFailure)
        }
        do {
            var command = try parseAsRoot(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            end(ExitCode.success)
        } catch let failure as CommandFailure {
            Console.note("error: \(failure)")
            end(ExitCode.failure)
        } catch {
            end(error)
        }
    }

    /// Ends the program like `exit(withError:)`, but without the destructors of C++ globals. The gRPC core's threads
    /// still run then, and one that released such a global has been seen to abort the process.
    private static func end(_ error: any Error) -> Never {
        let code = exitCode(for: error)
        let text = fullMessage(for: error)
        if !text.isEmpty {
            if code == .success { print(text) } else { Console.note(text) }
        }
        fflush(nil)
        _exit(code.rawValue)
    }
}
