import ArgumentParser
import FunctionConfig

/// The command line: `dcf`.
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
        let arguments = Array(CommandLine.arguments.dropFirst())
        if let misspelling = CommandPath.misspelling(in: arguments, root: DCF.self) {
            Console.note("error: \(misspelling)")
            exit(withError: ExitCode.validationFailure)
        }
        do {
            var command = try parseAsRoot(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let failure as CommandFailure {
            Console.note("error: \(failure)")
            exit(withError: ExitCode.failure)
        } catch {
            exit(withError: error)
        }
    }
}
