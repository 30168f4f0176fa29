import ArgumentParser
import FunctionConfig
import Glibc
import SystemPackage

/// `dcf function init NAME`: creates the folder of a new function and adds the function to the config.
struct FunctionInit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Creates a function: a folder with a working handler, and an entry in the config.",
        discussion: """
            Example:
              dcf function init echo --runtime python3
            """)

    @OptionGroup var connection: ConnectionOptions

    @Option(
        name: [.customShort("r"), .long],
        help: ArgumentHelp("The function's language; \"dcf runtime list\" lists all.", valueName: "runtime"),
        completion: .list(FunctionRuntime.names))
    var runtime = FunctionRuntime.python3.name

    @Argument(help: "The name of the function.")
    var name: String

    func run() throws {
        let name = try functionName()
        guard FunctionRuntime.named(runtime) != nil else {
            let near = Suggestion.clause(for: runtime, among: FunctionRuntime.names)
            throw CommandFailure("unknown runtime \(runtime.quoted)\(near) (\"dcf runtime list\" lists all runtimes)")
        }
        let directory = LoadedConfig.directory(of: connection.configPath).appending(name.text)
        // Check everything before anything is written.
        let config = try editedConfig(name)
        try makeFolder(directory, FunctionTemplate(name: name, runtime: runtime))
        try AtomicFile.write(config, to: FilePath(connection.configPath))
        Console.note("Created \(directory)/ and added \(name) to \(connection.configPath).")
        Console.note("Try it: echo hello | dcf function run \(name)")
    }

    private func functionName() throws(CommandFailure) -> FunctionName {
        do {
            return try FunctionName(name)
        } catch {
            throw CommandFailure(error.description)
        }
    }

    private func editedConfig(_ name: FunctionName) throws(CommandFailure) -> String {
        let path = connection.configPath
        let text = access(path, F_OK) == 0 ? try LoadedConfig.text(at: path) : ""
        let gateway = connection.gateway == nil ? nil : try connection.location().address
        do throws(ConfigError) {
            var editor = try ConfigEditor(text: text, fileName: path)
            if let gateway { try editor.setGateway(gateway) }
            try editor.add(function: name, body: FunctionTemplate(name: name, runtime: runtime).config)
            return editor.text
        } catch {
            throw CommandFailure(error)
        }
    }

    private func makeFolder(_ directory: FilePath, _ template: FunctionTemplate) throws(CommandFailure) {
        guard mkdir(directory.string, 0o777) == 0 else {
            let error = Errno(rawValue: errno)
            if error == .fileExists {
                throw CommandFailure("\(directory) exists already; choose another name, or move it away")
            }
            throw CommandFailure("cannot create \(directory): \(error)")
        }
        for (name, text) in template.files {
            try AtomicFile.write(text, to: directory.appending(name))
        }
    }
}
