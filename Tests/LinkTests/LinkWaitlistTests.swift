import Platform
import Testing

@testable import Link

@Suite struct LinkWaitlistTests {
    private let start = MonotonicTime(nanoseconds: 1)

    private func at(_ seconds: Int) -> MonotonicTime { start.advanced(by: .seconds(seconds)) }

    @Test func eachKindHasItsTime() {
        var list = LinkWaitlist()
        #expect(list.timeout(at: start) == -1)
        list.set(3, .unauthenticated, at: at(0))
        list.set(4, .remoteUnauthenticated, at: at(1))
        list.set(5, .waiting, at: at(2))
        #expect(list.timeout(at: at(0)) == 10_001)
        #expect(list.expired(at: at(9)).isEmpty)
        #expect(list.expired(at: at(10)) == [3])
        list.remove(3)
        #expect(list.timeout(at: at(10)) == 1_001)
        #expect(list.expired(at: at(61)) == [4])
        list.remove(4)
        #expect(list.expired(at: at(62)) == [5])
        list.remove(5)
        #expect(list.isEmpty && list.timeout(at: at(62)) == -1)
    }

    @Test func whoHasProvedATokenGetsAnotherTime() {
        var list = LinkWaitlist()
        list.set(3, .remoteUnauthenticated, at: at(0))
        list.set(3, .waiting, at: at(5))
        // To set the same kind again changes nothing.
        list.set(3, .waiting, at: at(50))
        #expect(list.count(.remoteUnauthenticated) == 0 && list.count(.waiting) == 1)
        #expect(list.expired(at: at(64)).isEmpty)
        #expect(list.expired(at: at(65)) == [3])
    }

    @Test func theFirstIsTheOneThatCameFirst() {
        var list = LinkWaitlist()
        for descriptor: Int32 in [9, 3, 7] { list.set(descriptor, .remoteUnauthenticated, at: start) }
        #expect(list.first(.remoteUnauthenticated) == 9)
        #expect(list.all(.remoteUnauthenticated) == [9, 3, 7])
        list.remove(9)
        #expect(list.first(.remoteUnauthenticated) == 3)
        #expect(list.first(.waiting) == nil)
    }
}
