/// The watcher's first frame.
package struct Hello: Sendable, Equatable {
    /// The lowest and highest protocol version that the watcher speaks.
    package var versions: ClosedRange<UInt16>
    package var pid: UInt32
    /// The secret that the gateway gave to this replica alone.
    package var token: String
    /// The interpreter's version, as `3.12.1`.
    package var pythonVersion: String

    package init(versions: ClosedRange<UInt16>, pid: UInt32, token: String, pythonVersion: String) {
        self.versions = versions
        self.pid = pid
        self.token = token
        self.pythonVersion = pythonVersion
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .hello, bytes: head)
        let low: UInt16 = try reader.read()
        let high: UInt16 = try reader.read()
        guard low <= high else { throw .malformed(kind: FrameKind.hello.rawValue, "versions \(low) to \(high)") }
        versions = low...high
        pid = try reader.read()
        token = try reader.readString()
        pythonVersion = try reader.readString()
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(versions.lowerBound)
        writer.write(versions.upperBound)
        writer.write(pid)
        writer.write(token)
        writer.write(pythonVersion)
        return writer.bytes
    }
}
