@testable import Calls
import Testing

@Suite struct RequestMetadataTests {
    /// The pairs that reach a handler, in order, without `traceparent`, which is always there.
    private func kept(_ pairs: [(String, String)], by policy: HeaderPolicy = .none) -> [String] {
        var metadata = RequestMetadata()
        for (key, value) in pairs {
            var (key, value) = (key, value)
            key.withUTF8 { key in
                value.withUTF8 { value in
                    metadata.add(UnsafeRawBufferPointer(key), UnsafeRawBufferPointer(value), by: policy)
                }
            }
        }
        metadata.complete()
        var names: [String] = []
        ReplyMetadata.forEachPair(metadata.encoded) { names.append($0) }
        return names.filter { $0 != "traceparent" }
    }

    @Test(arguments: ["authorization", "proxy-authorization", "cookie"])
    func whatLetsACallerInReachesNoHandler(name: String) {
        #expect(kept([(name, "secret"), ("x-own", "1")]) == ["x-own"])
    }

    @Test(arguments: [
        "a", "authorizations", "cookie2", "set-cookie", "content-type", "user-agent", "te", "grpc-x", "dc", "proxy",
    ])
    func othersDo(name: String) {
        #expect(kept([(name, "v")]) == [name])
    }

    @Test func whatIsTheProtocolsGoesNoFurther() {
        let policy = HeaderPolicy { name, _ in name.elementsEqual("content-type".utf8) }
        #expect(kept([("content-type", "text/plain"), ("x-own", "1")], by: policy) == ["x-own"])
    }

    @Test func allThatTheCallerGaveCounts() {
        var metadata = RequestMetadata()
        metadata.add("cookie", "12345")
        #expect(metadata.callerBytes == 6 + 5 + 32)
    }
}

extension ReplyMetadata {
    /// The names of encoded pairs.
    fileprivate static func forEachPair(_ encoded: [UInt8], _ body: (String) -> Void) {
        encoded.withUnsafeBytes { bytes in
            var offset = 2
            while offset < bytes.count {
                var parts: [String] = []
                for _ in 0..<2 {
                    let length = Int(bytes[offset]) | Int(bytes[offset + 1]) << 8
                    parts.append(String(decoding: bytes[(offset + 2)..<(offset + 2 + length)], as: UTF8.self))
                    offset += 2 + length
                }
                body(parts[0])
            }
        }
    }
}
