@testable import GRPC
import Platform
import Testing

@Suite struct AddressBookTests {
    private let stranger = PeerAddress("10.0.0.7")

    private func moment(_ seconds: Double) -> MonotonicTime { MonotonicTime(nanoseconds: Int64(seconds * 1e9)) }

    @Test func anAddressHasSoManyConnectionsAndLoopbackAny() {
        var book = AddressBook(connectionsMax: 2)
        let local = PeerAddress("127.0.0.1", isLoopback: true)
        for _ in 0..<100 { expect(book.admit(local, at: moment(0)), .admitted) }
        expect(book.admit(stranger, at: moment(0)), .admitted)
        expect(book.admit(stranger, at: moment(0)), .admitted)
        expect(book.admit(stranger, at: moment(0)), .tooMany)
        expect(book.admit(PeerAddress("10.0.0.8"), at: moment(0)), .admitted)
        book.leave(stranger)
        expect(book.admit(stranger, at: moment(0)), .admitted)
    }

    @Test func anAddressIsRefusedForLongerEachTime() {
        var book = AddressBook(connectionsMax: 2)
        var now = 0.0
        for length in [10.0, 20, 40, 80, 160, 320, 600, 600] {
            book.refuse(stranger, at: moment(now))
            // Its other connections are closed at the same time.
            book.refuse(stranger, at: moment(now + 1))
            expect(book.admit(stranger, at: moment(now + length - 1)), .refused, "\(length) s")
            now += length
            expect(book.admit(stranger, at: moment(now)), .admitted)
            book.leave(stranger)
        }
        // Good for as long as it was refused.
        now += 601 + 600
        book.refuse(stranger, at: moment(now))
        expect(book.admit(stranger, at: moment(now + 10)), .admitted)
    }

    @Test func loopbackIsNeverRefused() {
        var book = AddressBook(connectionsMax: 2)
        let local = PeerAddress("::1", isLoopback: true)
        book.refuse(local, at: moment(0))
        expect(book.admit(local, at: moment(0)), .admitted)
    }
}
