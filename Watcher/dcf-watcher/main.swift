import Glibc
import ProcessTree
import WatcherLink

/// Logs a line with `write`, so that no buffer has to be flushed.
private func complain(_ message: String) {
    let bytes = Array("dcf-watcher: \(message)\n".utf8)
    _ = write(2, bytes, bytes.count)
}

let commandLine = ProcessArguments.words
if commandLine.elementsEqual(["--help"]) {
    print(Arguments.usage)
    exit(0)
}
do throws(LaunchError) {
    let arguments = try Arguments(commandLine, isOnce: Environment[WatcherVariables.once] == "1")
    if arguments.isAlone { try ContainerInit.run(arguments) }
    try Launcher.run(arguments)
} catch {
    complain(error.message)
    exit(error.exitStatus)
}
