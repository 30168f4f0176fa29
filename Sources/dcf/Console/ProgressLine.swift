import Synchronization
import SystemPackage

/// What a long command is doing now, on standard error: one line that is written over on a terminal, a line a step
/// elsewhere.
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

    /// A step that began.
    func step(_ text: String) {
        isShown.withLock { isShown in
            isShown = isTerminal
            write(isTerminal ? "\(Self.erase)\(text.printable)" : text.printable + "\n")
        }
    }

    /// A line that stays, such as one of pip's.
    func line(_ text: String) {
        // A file is no place for colours.
        let text = isTerminal ? text : text.withoutTerminalCodes
        isShown.withLock { isShown in
            write(isShown ? "\(Self.erase)\(text)\n" : text + "\n")
            isShown = false
        }
    }

    /// Takes the progress line away.
    func clear() {
        isShown.withLock { isShown in
            if isShown { write(Self.erase) }
            isShown = false
        }
    }

    private static let erase = "\r\u{1B}[K"
}
