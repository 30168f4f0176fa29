/// The gateway's answer to ``Hello``. The payload is the function's settings as JSON: `name`, `version`, `parameters`,
/// `timeout` (`call` and `start`, seconds) and `limits` (`memory` bytes, `cpu`).
package struct Welcome: Sendable, Equatable {
    /// The protocol version that both ends speak from now on.
    package var version: UInt16
    /// The largest input or reply, in bytes.
    package var maxBodyLength: UInt64
    /// Over TCP: the gateway's proof that it knows the token, see ``LinkProof/ofGateway(token:nonce:)``; else empty.
    package var proof: [UInt8]

    package init(version: UInt16, maxBodyLength: UInt64, proof: [UInt8] = []) {
        self.version = version
        self.maxBodyLength = maxBodyLength
        self.proof = proof
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .welcome, bytes: head)
        version = try reader.read()
        maxBodyLength = try reader.read()
        proof = reader.isAtEnd ? [] : try reader.readBytes(LinkProof.bytes)
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(version)
        writer.write(maxBodyLength)
        writer.write(bytes: proof)
        return writer.bytes
    }
}
