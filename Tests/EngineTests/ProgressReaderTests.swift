@testable import Engine
import NIOCore
import Testing

@Suite struct ProgressReaderTests {
    private static func read(_ text: String) throws -> (ProgressReader, [EngineProgress]) {
        var reader = ProgressReader("cannot pull a")
        var told: [EngineProgress] = []
        // One byte at a time: an engine may cut its output anywhere.
        for byte in text.utf8 { try reader.feed(ByteBuffer(bytes: [byte])) { told.append($0) } }
        try reader.finish { told.append($0) }
        return (reader, told)
    }

    @Test func aBuild() throws {
        let (reader, told) = try Self.read(
            #"{"stream":"Step 1/2 : FROM a\n"}"# + "\r\n" + #"{"stream":"\n"}"# + "\r\n"
                + #"{"aux":{"ID":"sha256:1"}}"# + "\r\n" + #"{"stream":"Successfully built 1"}"#)
        #expect(told.map(\.line) == ["Step 1/2 : FROM a", "Successfully built 1"])
        #expect(reader.imageID == "sha256:1")
    }

    @Test func aPush() throws {
        let (reader, told) = try Self.read(
            #"{"status":"Pushing","progress":"[=>] 1kB/2kB","id":"l1"}"# + "\n"
                + #"{"status":"Pushing","progress":"[==>] 2kB/2kB","id":"l1"}"# + "\n"
                + #"{"status":"Pushed","id":"l1"}"# + "\n" + #"{"aux":{"Tag":"1","Digest":"sha256:2","Size":3}}"# + "\n"
        )
        #expect(told.map(\.isUpdate) == [false, true, false])
        #expect(told.map(\.layer) == ["l1", "l1", "l1"])
        #expect(told.last?.line == "l1: Pushed")
        #expect(reader.digest == "sha256:2")
    }

    @Test(arguments: [
        ("manifest unknown", EngineError.Kind.notFound), ("write /x: no space left on device", .diskFull),
        ("unauthorized: authentication required", .registry),
        ("dial tcp 1.2.3.4:5000: connect: connection refused", .registry),
        ("The command '/bin/sh -c false' returned a non-zero code: 1", .failed),
    ])
    func anError(message: String, kind: EngineError.Kind) {
        #expect {
            _ = try Self.read(#"{"errorDetail":{"message":"\#(message)"},"error":"\#(message)"}"# + "\n")
        } throws: {
            let error = $0 as? EngineError
            return error?.kind == kind && error?.description.hasPrefix("cannot pull a: \(message)") == true
        }
    }
}
