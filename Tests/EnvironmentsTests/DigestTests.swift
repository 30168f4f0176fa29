import Environments
import Testing

/// The wanted values are those of FIPS 180-4 and of sha256sum.
@Suite struct DigestTests {
    static let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), ("abc", abc),
    ])
    func itIsSHA256(text: String, wanted: String) {
        var digest = Digest()
        digest.add(text)
        #expect(digest.hexadecimal() == wanted)
    }

    @Test func piecesCountAsOne() {
        var digest = Digest()
        digest.add("a")
        digest.add([])
        digest.add(Array("bc".utf8))
        #expect(digest.hexadecimal() == Self.abc)
        // Reading does not end it.
        #expect(digest.hexadecimal() == Self.abc)
    }

    @Test func aCopyGoesItsOwnWay() {
        var digest = Digest()
        digest.add("ab")
        var copy = digest
        copy.add("x")
        digest.add("c")
        copy.add("y")
        #expect(digest.hexadecimal() == Self.abc)
        var whole = Digest()
        whole.add("abxy")
        #expect(copy.hexadecimal() == whole.hexadecimal())
    }

    @Test func countedTextsDoNotRunTogether() {
        var (one, other) = (Digest(), Digest())
        for text in ["a", "bc"] { one.addCounted(Array(text.utf8)) }
        for text in ["ab", "c"] { other.addCounted(Array(text.utf8)) }
        #expect(one.hexadecimal() != other.hexadecimal())
    }
}
