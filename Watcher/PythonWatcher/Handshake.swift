import Glibc
import WatcherLink

/// Sends and receives the frames before the first call: Hello, Welcome, then Ready or Failed.
struct Handshake {
    let socket: LinkSocket
    /// Whether the link is over TCP: then both ends prove that they know the token, and neither sends it.
    var isRemote = false

    /// Sends Hello and waits for the gateway's Welcome.
    ///
    /// - Parameter task: the id of the cluster's task; sent over TCP only.
    /// - Returns: the function's settings, as JSON.
    func greet(token: String, task: String, pythonVersion: String) throws(WatcherError) -> [UInt8] {
        let proof = isRemote ? try prove(token, task) : nil
        let hello = Hello(
            versions: LinkVersion.supported, pid: UInt32(getpid()), token: isRemote ? "" : token,
            pythonVersion: pythonVersion, proof: proof)
        try send(.hello, head: hello.head)
        let (header, body) = try receiveFrame()
        guard header.kind == FrameKind.welcome.rawValue else {
            throw .link("frame \(header.kind) came where Welcome was expected")
        }
        do throws(LinkError) {
            let welcome = try body.withMemory { (bytes) throws(LinkError) in
                try Welcome(head: UnsafeRawBufferPointer(rebasing: bytes[..<header.headLength]))
            }
            guard LinkVersion.supported.contains(welcome.version) else {
                throw .version(
                    "the gateway chose version \(welcome.version) of the link, which this watcher does not know")
            }
            WatcherState.maxBodyLength = Int(clamping: welcome.maxBodyLength)
            if let proof, !HMAC.isEqual(welcome.proof, LinkProof.ofGateway(token: token, nonce: proof.nonce)) {
                throw .unexpected(
                    .welcome, "does not prove the token: what DCF_LINK names is not this function's gateway")
            }
        } catch {
            throw .link(error.description)
        }
        return Array(body[header.headLength...])
    }

    private func prove(_ token: String, _ task: String) throws(WatcherError) -> Hello.Proof {
        let (header, body) = try receiveFrame()
        guard header.kind == FrameKind.challenge.rawValue else {
            throw .link("frame \(header.kind) came where Challenge was expected")
        }
        do throws(LinkError) {
            let challenge = try body.withMemory { (bytes) throws(LinkError) in
                try Challenge(head: UnsafeRawBufferPointer(rebasing: bytes[..<header.headLength]))
            }
            let code = LinkProof.ofWatcher(token: token, nonce: challenge.nonce, task: task)
            return Hello.Proof(task: task, code: code, nonce: LinkProof.nonce())
        } catch {
            throw .link(error.description)
        }
    }

    /// Says that the handler is constructed.
    func ready(constructorMicros: UInt64) throws(WatcherError) {
        try send(.ready, head: Ready(constructorMicros: constructorMicros).head)
    }

    /// Says that the handler could not be constructed.
    func failed(_ stage: Failed.Stage, summary: String, traceback: [UInt8]) throws(WatcherError) {
        try send(.failed, head: Failed(stage: stage, summary: summary).head, payload: traceback)
    }

    private func send(_ kind: FrameKind, head: [UInt8], payload: [UInt8] = []) throws(WatcherError) {
        try FrameHeader.frame(kind, head: head, payload: payload).withMemory { (bytes) throws(WatcherError) in
            try socket.send(bytes, UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }

    private func receiveFrame() throws(WatcherError) -> (FrameHeader, [UInt8]) {
        let header = try receive(FrameHeader.size).withUnsafeBytes { bytes in
            bytes.baseAddress.map { FrameHeader(decoding: $0) }
        }
        guard let header else { throw .ended }
        do throws(LinkError) {
            try header.validate(maxBodyLength: 16 << 20)
        } catch {
            throw .link(error.description)
        }
        return (header, try receive(header.bodyLength))
    }

    private func receive(_ count: Int) throws(WatcherError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            filled += try bytes.withMutableMemory { (buffer) throws(WatcherError) in
                try socket.receive(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            }
        }
        return bytes
    }
}
