@testable import Link
import Testing

@Suite struct UTF8CheckTests {
    private func firstInvalid(_ bytes: [UInt8]) -> Int? {
        bytes.withUnsafeBytes { UTF8Check.firstInvalid(in: $0) }
    }

    @Test func itAgreesWithTheStandardLibraryOnEveryShortSequence() {
        // All sequences of two bytes, and for those that begin a longer one also three bytes, behind and before ASCII.
        for first in UInt8.min ... .max {
            for second in UInt8.min ... .max {
                let bytes = [0x61, first, second, 0x62]
                #expect((firstInvalid(bytes) == nil) == (String(validating: bytes, as: UTF8.self) != nil))
            }
        }
        for first in UInt8(0xE0)...0xFF {
            for second in UInt8(0x7F)...0xC0 {
                for third: UInt8 in [0x7F, 0x80, 0xBF, 0xC0] {
                    for tail: [UInt8] in [[], [0x80], [0xBF], [0xC0]] {
                        let bytes = [first, second, third] + tail
                        #expect((firstInvalid(bytes) == nil) == (String(validating: bytes, as: UTF8.self) != nil))
                    }
                }
            }
        }
    }

    @Test func thePlaceIsTold() {
        var bytes = [UInt8](repeating: 0x61, count: 1000)
        #expect(firstInvalid(bytes) == nil)
        for place in [0, 63, 64, 127, 500, 999] {
            bytes[place] = 0xFF
            #expect(firstInvalid(bytes) == place)
            bytes[place] = 0x61
        }
    }

    @Test func aCutSequenceIsInvalid() {
        #expect(firstInvalid([]) == nil)
        #expect(firstInvalid([0x61, 0xE2, 0x82]) == 1)
        #expect(firstInvalid([0xF0, 0x9F, 0x98, 0x80]) == nil)
    }
}
