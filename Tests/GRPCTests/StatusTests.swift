import GRPC
import Platform
import Testing

@Suite struct StatusTests {
    @Test func aShortMessageStays() {
        #expect(Status(.unknown, "kaputt – 100 %").boundedMessage == "kaputt – 100 %")
    }

    @Test func aLongOneIsCutWithinWhatPercentEncodingMakesOfIt() {
        let message = Status(.unknown, String(repeating: "ü", count: 10_000)).boundedMessage
        #expect(message.hasSuffix("..."))
        #expect(6 * (message.count - 3) + 3 <= Status.messageBytesMax)
    }
}
