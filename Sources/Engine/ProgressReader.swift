internal import Foundation
internal import NIOCore

/// Understands what an engine tells during a build, a pull or a push: a JSON object a line.
struct ProgressReader {
    private let what: String
    private var lines = JSONLines()
    private var layers: [String: String] = [:]
    private(set) var imageID: String?
    private(set) var digest: String?

    /// - Parameter what: begins an error: `cannot pull X`.
    init(_ what: String) {
        self.what = what
    }

    mutating func feed(_ part: ByteBuffer, _ tell: (EngineProgress) -> Void) throws(EngineError) {
        for line in lines.feed(part.readableBytesView) { try read(line, tell) }
    }

    /// After the last part.
    mutating func finish(_ tell: (EngineProgress) -> Void) throws(EngineError) {
        if let line = lines.finish() { try read(line, tell) }
    }

    private mutating func read(_ line: [UInt8], _ tell: (EngineProgress) -> Void) throws(EngineError) {
        // What is none of its own, some proxy's say, is worth nothing.
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
            // Newer engines tell the numbers alone.
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
