import GatewayProtocol
import SystemPackage

/// Shows the events of a deploy: steps as a progress line, pip's output if wanted, and tracebacks always.
struct DeployEventPrinter {
    let function: String
    /// The author's folder. Tracebacks show paths in this folder.
    let directory: FilePath
    let isVerbose: Bool
    let line: ProgressLine
    /// The tracebacks that were shown. An error does not repeat them.
    private(set) var tracebacks: [String] = []

    init(function: String, directory: FilePath, isVerbose: Bool, line: ProgressLine) {
        self.function = function
        self.directory = directory
        self.isVerbose = isVerbose
        self.line = line
    }

    /// Shows an event.
    ///
    /// - Returns: the function, if the event says that the function is Ready. Else nil.
    mutating func show(_ event: Pb_DeployEvent) -> Pb_Function? {
        switch event.event {
        case .progress(let step): line.step("\(function): \(step)")
        case .output(let output): if isVerbose { line.line(output.trimmedAtEnd) }
        case .traceback(let traceback):
            line.line(Self.withLocalPaths(traceback, of: function, in: directory).trimmedAtEnd)
            tracebacks.append(traceback)
        case .done(let function): return function
        case nil: break
        }
        return nil
    }

    /// A traceback with the paths of the author's own files, instead of those of the copies at the gateway or in an
    /// image.
    static func withLocalPaths(_ traceback: String, of function: String, in directory: FilePath) -> String {
        let lines = traceback.split(separator: "\n", omittingEmptySubsequences: false).map { line -> String in
            let words = line.drop { $0 == " " || $0 == "|" }
            guard words.hasPrefix("File \""), let begin = line.firstIndex(of: "\""),
                let rest = pathInFolder(line[line.index(after: begin)...], function)
            else { return String(line) }
            return "\(line[...begin])\(directory.appending(String(rest)))"
        }
        return lines.joined(separator: "\n")
    }

    /// The path below the folder of a copy: `.../functions/NAME/VERSION/` at a gateway, `/dcf/handler/` in an image.
    /// Nil for other paths.
    private static func pathInFolder(_ path: Substring, _ function: String) -> Substring? {
        let image = "/dcf/handler/"
        if path.hasPrefix(image) { return path.dropFirst(image.count) }
        guard let found = path.firstRange(of: "/functions/\(function)/") else { return nil }
        let version = path[found.upperBound...]
        guard let slash = version.firstIndex(of: "/"), Int(version[..<slash]) != nil else { return nil }
        return version[version.index(after: slash)...]
    }

    /// A message without the lines of tracebacks that were shown already.
    func withoutShownTracebacks(_ message: String) -> String {
        var lines = message.split(separator: "\n", omittingEmptySubsequences: false)
        for traceback in tracebacks {
            let told = traceback.split(separator: "\n", omittingEmptySubsequences: true)
            // The message contains the end of the traceback, as much as fits.
            guard let count = (1...max(told.count, 1)).last(where: { lines.firstRange(of: told.suffix($0)) != nil }),
                let range = lines.firstRange(of: told.suffix(count))
            else { continue }
            lines.removeSubrange(range)
        }
        return lines.joined(separator: "\n")
    }
}
