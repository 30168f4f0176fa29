@testable import Calls
import Testing

@Suite struct ReplyMetadataTests {
    @Test func itIsBounded() {
        func pairs(_ count: Int, size: Int) -> ReplyMetadata {
            var head: [UInt8] = [UInt8(count), 0]
            for _ in 0..<count {
                head += [1, 0, UInt8(ascii: "k"), UInt8(size & 0xFF), UInt8(size >> 8)]
                head += [UInt8](repeating: UInt8(ascii: "v"), count: size)
            }
            return head.withUnsafeBytes { ReplyMetadata(head: $0) }
        }
        func count(_ metadata: ReplyMetadata) -> Int {
            var count = 0
            metadata.forEach { _, _ in count += 1 }
            return count
        }
        #expect(count(pairs(3, size: 10)) == 3)
        #expect(count(pairs(100, size: 1)) == ReplyMetadata.pairsMax)
        #expect(count(pairs(10, size: 1_000)) == 8)
        // A head that ends early.
        let early: [UInt8] = [2, 0, 1, 0, UInt8(ascii: "k"), 1, 0, UInt8(ascii: "v"), 9]
        #expect(early.withUnsafeBytes { count(ReplyMetadata(head: $0)) } == 1)
    }
}
