internal import CLinux
internal import Glibc

/// This process's command line.
///
/// Swift's `CommandLine` finds the arguments beside `environ`. A preloaded library that sets a variable moves
/// `environ`.
package enum ProcessArguments {
    /// The words after the program's own name.
    package static var words: [String] {
        var length = 0
        guard let text = dcf_command_line(&length) else { return Array(CommandLine.arguments.dropFirst()) }
        defer { free(text) }
        let bytes = UnsafeRawBufferPointer(start: text, count: length)
        // Each word ends with a zero byte.
        return bytes.split(separator: 0, omittingEmptySubsequences: false).dropLast().dropFirst().map {
            String(decoding: $0, as: UTF8.self)
        }
    }
}
