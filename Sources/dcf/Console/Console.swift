import Glibc
import SystemPackage

/// The three standard streams. Data goes to standard output, everything else to standard error.
enum Console {
    /// The most bytes of standard input. No call may carry more.
    static let inputBytesMax = 1 << 30

    /// Writes bytes to standard output as they are.
    static func write(_ bytes: some Sequence<UInt8>) throws(CommandFailure) {
        do {
            try FileDescriptor.standardOutput.writeAll(bytes)
        } catch {
            throw CommandFailure("cannot write to standard output: \(error)")
        }
    }

    static func write(_ text: String) throws(CommandFailure) {
        try write(text.utf8)
    }

    /// Writes a line to standard error. Ignores errors.
    static func note(_ text: String) {
        noteRaw(text + "\n")
    }

    /// Writes text without a line feed to standard error.
    static func noteRaw(_ text: String) {
        _ = try? FileDescriptor.standardError.writeAll(text.utf8)
    }

    /// Reads standard input to its end.
    static func readAll() throws(CommandFailure) -> [UInt8] {
        if isTerminal(.standardInput) {
            note("Reading the call's input from the terminal; end it with Ctrl-D.")
        }
        do {
            return try FileDescriptor.standardInput.readToEnd(bytesMax: inputBytesMax)
        } catch let error as Errno {
            throw CommandFailure("cannot read standard input: \(error)")
        } catch {
            throw CommandFailure("standard input has more than \(inputBytesMax) bytes, the most that a call can carry")
        }
    }

    static func isTerminal(_ descriptor: FileDescriptor) -> Bool {
        isatty(descriptor.rawValue) == 1
    }
}
