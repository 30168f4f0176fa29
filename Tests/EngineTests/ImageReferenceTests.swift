import Engine
import Testing

@Suite struct ImageReferenceTests {
    private static let digest = "sha256:" + String(repeating: "0123456789abcdef", count: 4)

    @Test(
        arguments: [
            ("echo", "docker.io", "echo", nil, "latest"),
            ("echo:2", "docker.io", "echo", "2", "2"),
            ("me/echo", "docker.io", "me/echo", nil, "latest"),
            ("localhost:5000/echo", "localhost:5000", "localhost:5000/echo", nil, "latest"),
            ("10.0.0.1:5000/a/b:c", "10.0.0.1:5000", "10.0.0.1:5000/a/b", "c", "c"),
            ("localhost/echo", "localhost", "localhost/echo", nil, "latest"),
        ] as [(String, String, String, String?, String)])
    func parts(text: String, registry: String, repository: String, tag: String?, wanted: String) throws {
        let reference = try ImageReference(text)
        #expect(reference.registry == registry)
        #expect(reference.repository == repository)
        #expect(reference.tag == tag)
        #expect(reference.tagOrDigest == wanted)
        #expect("\(reference)" == text)
    }

    @Test func aDigestCountsBeforeATag() throws {
        let reference = try ImageReference("r.io/a:1@\(Self.digest)")
        #expect(reference.tag == "1")
        #expect(reference.tagOrDigest == Self.digest)
        #expect("\(try reference.pinned(to: Self.digest))" == "r.io/a@\(Self.digest)")
    }

    @Test func atAnotherRegistry() throws {
        #expect("\(try ImageReference("echo:1").at(registry: "r:5000"))" == "r:5000/echo:1")
        #expect("\(try ImageReference("a.io/me/echo").at(registry: "r:5000"))" == "r:5000/me/echo")
    }

    @Test(arguments: ["", "Echo", "a//b", "a:", "a: b", "-a", "a@sha256:12", "a b", "a/:1", "r.io/", "a@1", "a:b:c"])
    func refusesOtherTexts(text: String) {
        #expect(throws: EngineError.self) { try ImageReference(text) }
    }
}
