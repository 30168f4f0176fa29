import Synchronization
import SystemPackage

/// Shows on standard error what a long command is doing. On a terminal this is one line that changes. Elsewhere each
/// step has a line of its own.
final class ProgressLine: Sendable {
    private let isTerminal: Bool
    private let write: @Sendable (String) -> Void
    private let isShown = Mutex(false)

    init(
        isTerminal: Bool = Console.isTerminal(.standardError),
        write: @escaping @Sendable (String) -> Void = { Console.noteRaw($0) }
    ) {
        self.isTerminal = isTerminal
        self.write = write
    }

    /// Shows a step that began.
    func step(_ text: String) {
        isShown.withLock { isShown in
            isShown = isTerminal
            write(isTerminal ? "\(Self.erase)\(text.printable)" : text.printable + "\n")
        }
    }

    /// Shows a line that stays, such as one of pip's.
    func line(_ text: String) {
        // A file should not contain colour codes.
        let text = isTerminal ? text : text.withoutTerminalCodes
        isShown.withLock { isShown in
            write(isShown ? "\(Self.erase)\(text)\n" : text + "\n")
            isShown = false
        }
    }

    /// Removes the progress line.
    func clear() {
        isShown.withLock { isShown in
            if isShown { write(Self.erase) }
            isShown = false
        }
    }

    private static let erase = "\r\u{1B}[K"
}
