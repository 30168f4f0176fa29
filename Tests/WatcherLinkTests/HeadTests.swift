import Testing
import WatcherLink

@Suite struct HeadTests {
    private func reading<T>(_ head: [UInt8], _ read: (UnsafeRawBufferPointer) throws -> T) throws -> T {
        try head.withUnsafeBytes { try read($0) }
    }

    @Test func everyHeadComesBackAsItWas() throws {
        let hello = Hello(versions: 1...3, pid: 42, token: "t0ken", pythonVersion: "3.12.1")
        #expect(try reading(hello.head) { try Hello(head: $0) } == hello)
        let proof = Hello.Proof(task: "x7f", code: LinkProof.nonce(), nonce: LinkProof.nonce())
        let remote = Hello(versions: 1...1, pid: 1, token: "", pythonVersion: "3.9.2", proof: proof)
        #expect(try reading(remote.head) { try Hello(head: $0) } == remote)
        let challenge = Challenge(nonce: LinkProof.nonce())
        #expect(try reading(challenge.head) { try Challenge(head: $0) } == challenge)
        let welcome = Welcome(version: 1, maxBodyLength: 64 << 20)
        #expect(try reading(welcome.head) { try Welcome(head: $0) } == welcome)
        let proved = Welcome(version: 1, maxBodyLength: 1, proof: LinkProof.nonce())
        #expect(try reading(proved.head) { try Welcome(head: $0) } == proved)
        let ready = Ready(constructorMicros: 250_000)
        #expect(try reading(ready.head) { try Ready(head: $0) } == ready)
        let failed = Failed(stage: .constructor, summary: "ValueError: keine Gewichte – schade (handler.py:3)")
        #expect(try reading(failed.head) { try Failed(head: $0) } == failed)
        let error = ErrorHead(code: 2, executed: .yes, message: "boom")
        #expect(try reading(error.head) { try ErrorHead(head: $0) } == error)
        let call = CallHead(
            remainingMicros: 7, requestID: "r",
            metadata: [Metadatum(key: "a", value: "b"), Metadatum(key: "c", value: "")])
        let read = try reading(call.head) { try CallHead(head: $0) }
        #expect(read.remainingMicros == 7 && read.requestID == "r")
        #expect(read.metadata == [Metadatum(key: "a", value: "b"), Metadatum(key: "c", value: "")])
        let reply = try reading(ReplyHead(metadata: [Metadatum(key: "k", value: "v")]).head) { try ReplyHead(head: $0) }
        #expect(reply.metadata.count == 1)
        let pace = Pace(nanoseconds: .max)
        #expect(try reading(pace.head) { try Pace(head: $0) } == pace)
    }

    @Test func aHeadThatEndsEarlyIsAnErrorAtEveryLength() {
        let pair = Metadatum(key: "key", value: "value")
        let whole = CallHead(remainingMicros: 1, requestID: "request", metadata: [pair]).head
        for length in 0..<whole.count {
            #expect(throws: LinkError.self) { try reading(Array(whole.prefix(length))) { try CallHead(head: $0) } }
        }
    }

    @Test func aProofIsWholeOrMissing() {
        var hello = Hello(versions: 1...1, pid: 1, token: "", pythonVersion: "")
        let plain = hello.head.count
        hello.proof = Hello.Proof(task: "t", code: LinkProof.nonce(), nonce: LinkProof.nonce())
        let whole = hello.head
        for length in (plain + 1)..<whole.count {
            #expect(throws: LinkError.self) { try reading(Array(whole.prefix(length))) { try Hello(head: $0) } }
        }
        hello.proof?.task = String(repeating: "t", count: LinkProof.taskBytesMax + 1)
        #expect(throws: LinkError.self) { try reading(hello.head) { try Hello(head: $0) } }
    }

    @Test func valuesThatMeanNothingAreRefused() {
        #expect(throws: LinkError.self) {
            try reading(ErrorHead(code: 0, executed: .no, message: "").head) { try ErrorHead(head: $0) }
        }
        var failed = Failed(stage: .import, summary: "").head
        failed[0] = 9
        #expect(throws: LinkError.self) { try reading(failed) { try Failed(head: $0) } }
    }

    @Test func theHighestVersionOfBothIsChosen() throws {
        #expect(try LinkVersion.negotiate(1...9) == LinkVersion.supported.upperBound)
        #expect(throws: LinkError.self) { try LinkVersion.negotiate(1000...1001) }
    }
}
