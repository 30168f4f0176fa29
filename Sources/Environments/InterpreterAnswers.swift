import Glibc
import Platform
import SystemPackage

/// What interpreters reported about themselves, by path and identity of their files, in memory and in a file.
///
/// The file only saves time: if it cannot be read or written, a Python is started once more.
final class InterpreterAnswers: Sendable {
    /// The first line of the file. A file in another format is ignored.
    private static let format = "dcf interpreters 2"
    private static let entriesMax = 256

    private let file: String?
    private let known: Lock<[String: Interpreter]>

    init(file: String?) {
        self.file = file
        let bytes = file.flatMap { try? WholeFile.read($0, limit: 1 << 20) } ?? []
        known = Lock(Self.parse(String(decoding: bytes, as: UTF8.self)))
    }

    subscript(identity: String) -> Interpreter? { known.withLock { $0[identity] } }

    func keep(_ interpreter: Interpreter, as identity: String) {
        let text = known.withLock { known in
            if known.count >= Self.entriesMax { known.removeAll() }
            known[identity] = interpreter
            return Self.text(known)
        }
        guard let file else { return }
        // Without the file the next process asks again; nothing else is lost.
        try? Folder.make(FilePath(file).removingLastComponent().string)
        try? WholeFile.replace(file, with: Array(text.utf8))
    }

    /// A text that changes when the interpreter or its venv is replaced. Nil if there is no such file.
    static func identity(of path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        var identity = "\(path)|\(stamp(status))"
        let venv = FilePath(path).removingLastComponent().removingLastComponent().appending("pyvenv.cfg").string
        if stat(venv, &status) == 0 { identity += "|" + stamp(status) }
        return identity
    }

    /// A text that changes when another program replaces the file. A copy with the same time has the same text. Nil if
    /// there is no such file.
    static func content(of path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return "\(status.st_size) bytes of \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
    }

    private static func stamp(_ status: stat) -> String {
        "\(status.st_dev).\(status.st_ino).\(status.st_size).\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
    }

    private static func text(_ known: [String: Interpreter]) -> String {
        var lines = [format]
        for (identity, one) in known.sorted(by: { $0.key < $1.key }) {
            let fields = [
                identity, one.path, one.realPath, one.version.description, one.isVenv ? "venv" : "-", one.prefix,
                one.hasEnsurepip ? "ensurepip" : "-", one.pip?.description ?? "-", one.build,
            ]
            if fields.contains(where: { $0.contains("\t") || $0.contains("\n") }) { continue }
            lines.append(fields.joined(separator: "\t"))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func parse(_ text: String) -> [String: Interpreter] {
        let lines = text.split(separator: "\n")
        guard let first = lines.first, first == format else { return [:] }
        var known: [String: Interpreter] = [:]
        for line in lines.dropFirst() {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard fields.count == 9, let version = PythonVersion(fields[3]) else { continue }
            known[fields[0]] = Interpreter(
                path: fields[1], realPath: fields[2], version: version, isVenv: fields[4] == "venv", prefix: fields[5],
                hasEnsurepip: fields[6] == "ensurepip", pip: PythonVersion(fields[7]), build: fields[8])
        }
        return known
    }
}
