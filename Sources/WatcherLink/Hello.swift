/// The watcher's first frame.
package struct Hello: Sendable, Equatable {
    /// Over TCP the watcher sends a proof that it knows the token, instead of the token.
    package struct Proof: Sendable, Equatable {
        /// The id of the cluster's task that the watcher runs in, at most ``LinkProof/taskBytesMax`` bytes; may be
        /// empty.
        package var task: String
        /// See ``LinkProof/ofWatcher(token:nonce:task:)``.
        package var code: [UInt8]
        /// The gateway codes this nonce to prove that it knows the token too.
        package var nonce: [UInt8]

        package init(task: String, code: [UInt8], nonce: [UInt8]) {
            self.task = task
            self.code = code
            self.nonce = nonce
        }
    }

    /// The lowest and highest protocol version that the watcher speaks.
    package var versions: ClosedRange<UInt16>
    package var pid: UInt32
    /// The secret that the gateway gave to this replica alone; empty if there is a proof.
    package var token: String
    /// The interpreter's version, as `3.12.1`.
    package var pythonVersion: String
    package var proof: Proof?

    package init(
        versions: ClosedRange<UInt16>, pid: UInt32, token: String, pythonVersion: String, proof: Proof? = nil
    ) {
        self.versions = versions
        self.pid = pid
        self.token = token
        self.pythonVersion = pythonVersion
        self.proof = proof
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
        guard !reader.isAtEnd else { return }
        let task = try reader.readString()
        guard task.utf8.count <= LinkProof.taskBytesMax else {
            throw .malformed(kind: FrameKind.hello.rawValue, "a task's name of \(task.utf8.count) bytes")
        }
        proof = Proof(
            task: task, code: try reader.readBytes(LinkProof.bytes), nonce: try reader.readBytes(LinkProof.nonceBytes))
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(versions.lowerBound)
        writer.write(versions.upperBound)
        writer.write(pid)
        writer.write(token)
        writer.write(pythonVersion)
        if let proof {
            writer.write(proof.task)
            writer.write(bytes: proof.code)
            writer.write(bytes: proof.nonce)
        }
        return writer.bytes
    }
}
