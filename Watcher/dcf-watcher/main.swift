import Glibc
import ProcessTree

/// Writes with `write`: nothing may be left in a buffer.
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
    let arguments = try Arguments(commandLine, isOnce: Environment["DCF_ONCE"] == "1")
    if arguments.isAlone { try ContainerInit.run(arguments) }
    try Launcher.run(arguments)
} catch {
    complain(error.message)
    exit(error.exitStatus)
}
