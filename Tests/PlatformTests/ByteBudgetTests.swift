import Platform
import Testing

@Suite struct ByteBudgetTests {
    private static let mebibyte = 1 << 20

    @Test func oneConnectionLeavesRoomForOthers() {
        let budget = ByteBudget(limit: 100 * Self.mebibyte, connectionLimit: 80 * Self.mebibyte)
        var held = 0
        while budget.reserve(Self.mebibyte, held: held) { held += Self.mebibyte }
        #expect(held == 50 * Self.mebibyte)
        #expect(budget.reserve(40 * Self.mebibyte, held: 0))
        #expect(!budget.reserve(40 * Self.mebibyte, held: 0))
        #expect(budget.count == 90 * Self.mebibyte)
        budget.release(90 * Self.mebibyte)
        #expect(budget.count == 0)
    }

    @Test func theLimitOfAConnectionHoldsWhereThereIsRoom() {
        let budget = ByteBudget(limit: 1_000 * Self.mebibyte, connectionLimit: 80 * Self.mebibyte)
        #expect(budget.reserve(70 * Self.mebibyte, held: 0))
        #expect(!budget.reserve(11 * Self.mebibyte, held: 70 * Self.mebibyte))
        #expect(budget.reserve(10 * Self.mebibyte, held: 70 * Self.mebibyte))
        // The first always fits: no message is larger than a connection may hold.
        #expect(budget.reserve(100 * Self.mebibyte, held: 0))
    }

    @Test func whatIsSmallFitsWhereNothingElseDoes() {
        let budget = ByteBudget(limit: Self.mebibyte, connectionLimit: Self.mebibyte)
        #expect(budget.reserve(Self.mebibyte, held: 0))
        #expect(!budget.reserve(ByteBudget.smallBytes + 1, held: 0))
        var small = 0
        while budget.reserve(ByteBudget.smallBytes, held: 0) { small += 1 }
        #expect(small == 4)
    }
}
