/// The gateway's first frame on a link over TCP. The watcher codes the nonce with its token to prove that it knows the
/// token.
package struct Challenge: Sendable, Equatable {
    /// ``LinkProof/nonceBytes`` random bytes, for this connection alone.
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
