internal import Foundation
internal import NIOCore

/// Reads what an engine reports during a build, a pull or a push: one JSON object on each line.
struct ProgressReader {
    private let what: String
    private var lines = JSONLines()
    private var layers: [String: String] = [:]
    private(set) var imageID: String?
    private(set) var digest: String?

    /// - Parameter what: the beginning of every error text, such as `cannot pull X`.
    init(_ what: String) {
        self.what = what
    }

    mutating func feed(_ part: ByteBuffer, _ tell: (EngineProgress) -> Void) throws(EngineError) {
        for line in lines.feed(part.readableBytesView) { try read(line, tell) }
    }

    /// Reads what is left after the last part.
    mutating func finish(_ tell: (EngineProgress) -> Void) throws(EngineError) {
        if let line = lines.finish() { try read(line, tell) }
    }

    private mutating func read(_ line: [UInt8], _ tell: (EngineProgress) -> Void) throws(EngineError) {
        // Skip a line that is not the engine's, for example a proxy's.
        guard let event = try? JSONDecoder().decode(Event.self, from: Data(line)) else { return }
        if let message = event.errorDetail?.message ?? event.error {
            throw EngineError(message: message.trimmingCharacters(in: .whitespacesAndNewlines), doing: what)
        }
        if let id = event.aux?.ID { imageID = id }
        if let told = event.aux?.Digest { digest = told }
        if let text = event.stream {
            for line in text.split(whereSeparator: \.isNewline) { tell(EngineProgress(text: String(line))) }
        } else if let status = event.status {
            let isUpdate = event.id != nil && layers[event.id ?? ""] == status
            if let id = event.id { layers[id] = status }
            // Newer engines send only the numbers.
            let numbers = (event.progress ?? event.progressDetail?.text).map { " \($0)" } ?? ""
            tell(EngineProgress(text: "\(status)\(numbers)", layer: event.id, isUpdate: isUpdate))
        }
    }

    private struct Event: Decodable {
        struct Detail: Decodable {
            var message: String?
        }

        struct Numbers: Decodable {
            var current: Int64?
            var total: Int64?

            var text: String? {
                guard let current, current > 0 else { return nil }
                let megabytes = { (bytes: Int64) in "\(Double(bytes / 100_000) / 10) MB" }
                guard let total, total > 0 else { return megabytes(current) }
                return "\(megabytes(current))/\(megabytes(total))"
            }
        }

        struct Aux: Decodable {
            var ID: String?
            var Digest: String?
        }

        var stream: String?
        var status: String?
        var progress: String?
        var progressDetail: Numbers?
        var id: String?
        var error: String?
        var errorDetail: Detail?
        var aux: Aux?
    }
}

/// One event that an engine reports during a build, a pull or a push.
package struct EngineProgress: Sendable, Equatable {
    /// A line for people, without its line feed.
    package var text: String
    /// The id of the layer that the event is about, if any.
    package var layer: String?
    /// Whether the event only brings new numbers for an earlier event.
    package var isUpdate: Bool

    /// The whole event as one line.
    package var line: String { layer.map { "\($0): \(text)" } ?? text }

    package init(text: String, layer: String? = nil, isUpdate: Bool = false) {
        self.text = text
        self.layer = layer
        self.isUpdate = isUpdate
    }
}

/// Splits a stream of bytes into JSON texts, one on each line.
private struct JSONLines {
    private var partial: [UInt8] = []

    /// Adds bytes.
    ///
    /// - Returns: the lines that are now complete, without empty ones.
    mutating func feed(_ bytes: some Collection<UInt8>) -> [[UInt8]] {
        partial += bytes
        guard partial.contains(0x0A) else { return [] }
        var lines = partial.split(separator: 0x0A, omittingEmptySubsequences: false).map(Array.init)
        partial = lines.removeLast()
        return lines.map { $0.last == 0x0D ? $0.dropLast() : $0 }.filter { !$0.isEmpty }
    }

    /// Ends the stream.
    ///
    /// - Returns: a last line without a line feed, if any.
    mutating func finish() -> [UInt8]? {
        defer { partial = [] }
        return partial.isEmpty ? nil : partial
    }
}
