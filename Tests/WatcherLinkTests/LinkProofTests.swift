import Testing
import WatcherLink

@Suite struct LinkProofTests {
    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }

    /// FIPS 180-4's examples, the empty message, and a million times "a".
    @Test(arguments: [
        ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
            1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
        (
            String(repeating: "a", count: 1_000), 1_000,
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        ),
    ])
    func theDigestIsTheStandards(text: String, times: Int, digest: String) {
        var hash = SHA256()
        for _ in 0..<times { hash.update(Array(text.utf8)) }
        #expect(hex(hash.finish()) == digest)
    }

    @Test func itDoesNotMatterHowTheBytesCome() {
        let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0) }
        for length in [0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 128, 300] {
            var hash = SHA256()
            for byte in bytes.prefix(length) { hash.update([byte]) }
            #expect(hash.finish() == SHA256.digest(Array(bytes.prefix(length))))
        }
    }

    /// RFC 4231, cases 1, 2, 3 and 6: a short key, a shorter one, a message of one block, a key longer than a block.
    @Test func theCodeIsTheStandards() {
        let code = { (key: [UInt8], message: [UInt8]) in hex(HMAC.code(key: key, message)) }
        #expect(
            code([UInt8](repeating: 0x0B, count: 20), Array("Hi There".utf8))
                == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
        #expect(
            code(Array("Jefe".utf8), Array("what do ya want for nothing?".utf8))
                == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        #expect(
            code([UInt8](repeating: 0xAA, count: 20), [UInt8](repeating: 0xDD, count: 50))
                == "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe")
        #expect(
            code(
                [UInt8](repeating: 0xAA, count: 131),
                Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8))
                == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
    }

    @Test func equalIsEqual() {
        #expect(HMAC.isEqual([], []))
        #expect(HMAC.isEqual([1, 2, 3], [1, 2, 3]))
        #expect(!HMAC.isEqual([1, 2, 3], [1, 2]))
        #expect(!HMAC.isEqual([1, 2, 3], [1, 2, 4]))
        #expect(!HMAC.isEqual([1, 2, 3], [129, 2, 3]))
    }

    @Test func aProofIsOfAllThatItIsMadeOf() {
        let nonce = LinkProof.nonce()
        #expect(nonce.count == 32 && nonce != LinkProof.nonce())
        let proof = LinkProof.ofWatcher(token: "t", nonce: nonce, task: "a")
        #expect(proof == HMAC.code(key: Array("t".utf8), Array("dcf-link-1".utf8) + nonce + Array("a".utf8)))
        #expect(proof != LinkProof.ofWatcher(token: "u", nonce: nonce, task: "a"))
        #expect(proof != LinkProof.ofWatcher(token: "t", nonce: nonce, task: "b"))
        #expect(proof != LinkProof.ofWatcher(token: "t", nonce: LinkProof.nonce(), task: "a"))
        let ofGateway = LinkProof.ofGateway(token: "t", nonce: nonce)
        #expect(ofGateway == HMAC.code(key: Array("t".utf8), Array("dcf-gateway-1".utf8) + nonce))
        #expect(ofGateway != LinkProof.ofWatcher(token: "t", nonce: nonce, task: ""))
    }
}
