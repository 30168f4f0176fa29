/// The gateway's first frame on a link over TCP: what the watcher has to code with its token.
package struct Challenge: Sendable, Equatable {
    /// ``LinkProof/nonceBytes`` bytes, of this connection alone.
    package var nonce: [UInt8]

    package init(nonce: [UInt8]) {
        self.nonce = nonce
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .challenge, bytes: head)
        nonce = try reader.readBytes(LinkProof.nonceBytes)
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(bytes: nonce)
        return writer.bytes
    }
}
