import CLinux
import Glibc
package import Platform
import Synchronization
import SystemPackage

/// A pipe for a test. Each end is used here or given away once. The ends that are left are closed with the pipe.
package final class Pipe: Sendable {
    private let reading: Mutex<OwnedDescriptor?>
    private let writing: Mutex<OwnedDescriptor?>

    package init() throws {
        var ends: [CInt] = [0, 0]
        guard dcf_pipe2(&ends, O_CLOEXEC) == 0 else { throw FileError("make", "pipe", Errno(rawValue: errno)) }
        reading = Mutex(OwnedDescriptor(owning: ends[0]))
        writing = Mutex(OwnedDescriptor(owning: ends[1]))
    }

    package func takeReading() throws -> OwnedDescriptor { try Self.take(reading) }
    package func takeWriting() throws -> OwnedDescriptor { try Self.take(writing) }

    package func closeWriting() { writing.withLock { $0 = nil } }

    package func write(_ bytes: [UInt8]) throws {
        try writing.withLock { end in
            guard let taken = end.take() else { throw FileError("write", "pipe", .badFileDescriptor) }
            let result = Result { () throws(FileError) in try taken.write(bytes, path: "pipe") }
            end = consume taken
            try result.get()
        }
    }

    package func write(_ text: String) throws { try write(Array(text.utf8)) }

    /// Everything up to the end.
    package func all() throws -> String {
        let end = try takeReading()
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = try end.read(into: &buffer, path: "pipe")
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer[..<count]
        }
    }

    /// Everything up to the next end of a line. Nothing more is read after that.
    package func line() throws -> String {
        let end = try takeReading()
        var bytes: [UInt8] = []
        var buffer: [UInt8] = [0]
        while try end.read(into: &buffer, path: "pipe") == 1, buffer[0] != 0x0A { bytes.append(buffer[0]) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func take(_ end: borrowing Mutex<OwnedDescriptor?>) throws -> OwnedDescriptor {
        guard let taken = end.withLock({ $0.take() }) else { throw FileError("take", "pipe", .badFileDescriptor) }
        return taken
    }
}
