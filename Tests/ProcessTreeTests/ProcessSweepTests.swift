import ProcessTree
import Testing

@Suite struct ProcessSweepTests {
    private let asked = ProcessSweep.quietNanos
    private let killed = ProcessSweep.quietNanos + ProcessSweep.askedNanos

    @Test func nothingLeftIsDoneAtOnce() {
        var sweep = ProcessSweep(at: 5)
        #expect(sweep.next([], at: 5) == .done)
    }

    @Test func whatIsLeftHasTimeThenIsAskedThenKilled() {
        var sweep = ProcessSweep(at: 0)
        #expect(sweep.next([7, 8], at: 0) == .wait)
        #expect(sweep.next([7, 8], at: asked - 1) == .wait)
        #expect(sweep.next([7, 8], at: asked) == .ask)
        #expect(sweep.next([7], at: asked + 1) == .wait)
        #expect(sweep.next([7], at: killed) == .killOthers)
        #expect(sweep.next([7], at: killed + ProcessSweep.trackerNanos - 1) == .killOthers)
        #expect(sweep.next([7], at: killed + ProcessSweep.trackerNanos) == .kill)
    }

    @Test func whatWasThereIsLookedForTwice() {
        var sweep = ProcessSweep(at: 0)
        #expect(sweep.next([7], at: 0) == .wait)
        #expect(sweep.next([], at: 1) == .wait)
        // A process that the pass before has missed.
        #expect(sweep.next([7], at: 2) == .wait)
        #expect(sweep.next([], at: 3) == .wait)
        #expect(sweep.next([], at: 4) == .done)
    }

    @Test func aCrowdIsKilledAtOnceAndToItsLast() {
        var sweep = ProcessSweep(at: 0)
        #expect(sweep.next(Array(1...Int32(ProcessSweep.crowd + 1)), at: 0) == .killOthers)
        #expect(sweep.next([7], at: 1) == .killOthers)
    }

    @Test func manyOfManyTreesAreNoCrowd() {
        var sweep = ProcessSweep(at: 0, quiet: ProcessSweep.lastQuietNanos)
        let pids = Array(1...Int32(ProcessSweep.crowd + 1))
        #expect(sweep.next(pids, largest: ProcessSweep.crowd, at: ProcessSweep.lastQuietNanos - 1) == .wait)
        #expect(sweep.next(pids, largest: ProcessSweep.crowd, at: ProcessSweep.lastQuietNanos) == .ask)
    }

    @Test func nothingHasTimeWherePatienceIsNotAskedFor() {
        var sweep = ProcessSweep(at: 0, isPatient: false)
        #expect(sweep.next([7], at: 0) == .kill)
    }

    @Test func whatTheKernelKeepsIsGivenUp() {
        var sweep = ProcessSweep(at: 0, isPatient: false)
        #expect(sweep.next([7], at: 0) == .kill)
        #expect(sweep.next([7], at: ProcessSweep.killNanos) == .kill)
        #expect(sweep.next([7], at: ProcessSweep.killNanos + 1) == .giveUp)
    }

    @Test func whatForksOnIsNotGivenUp() {
        var sweep = ProcessSweep(at: 0, isPatient: false)
        #expect(sweep.next([7], at: 0) == .kill)
        #expect(sweep.next([8], at: ProcessSweep.killNanos + 1) == .kill)
        #expect(sweep.next([9], at: 2 * ProcessSweep.killNanos + 2) == .kill)
    }
}
