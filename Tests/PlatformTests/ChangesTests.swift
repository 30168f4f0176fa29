import Platform
import Synchronization
import Testing

@Suite struct ChangesTests {
    @Test func theObserverIsToldOfEachHoweverManyThereAre() {
        let changes = Changes()
        let told = Atomic<Int>(0)
        changes.observe { told.add(1, ordering: .relaxed) }
        for _ in 0..<300_000 { changes.announce() }
        #expect(told.load(ordering: .relaxed) == 300_000)
    }
}
