/// The head of Credit: how many more bytes of pieces a watcher may send for a call.
///
/// Each call that streams begins with ``initialBytes``. A piece of any length may be sent while the credit is more than
/// 0. A long piece can make the credit negative; then the watcher waits until it is positive again.
package struct Credit: Sendable, Equatable {
    package static let initialBytes = 256 << 10

    package var bytes: UInt32

    package init(bytes: UInt32) {
        self.bytes = bytes
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .credit, bytes: head)
        bytes = try reader.read()
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(bytes)
        return writer.bytes
    }
}
