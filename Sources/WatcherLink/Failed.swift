/// The head of Failed: the handler could not be constructed. The payload is the traceback in UTF-8.
package struct Failed: Sendable, Equatable {
    /// Which step failed.
    package enum Stage: UInt8, Sendable {
        case `import` = 1
        case constructor = 2
        case configuration = 3
        /// The warm-up call that the config asks for.
        case warmup = 4
    }

    package var stage: Stage
    /// One line: `ValueError: bad weights (handler.py:12)`.
    package var summary: String

    package init(stage: Stage, summary: String) {
        self.stage = stage
        self.summary = summary
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .failed, bytes: head)
        let raw: UInt8 = try reader.read()
        guard let stage = Stage(rawValue: raw) else {
            throw .malformed(kind: FrameKind.failed.rawValue, "stage \(raw) is not known")
        }
        self.stage = stage
        summary = try reader.readString()
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(stage.rawValue)
        writer.write(summary)
        return writer.bytes
    }
}
