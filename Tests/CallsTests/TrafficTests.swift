import Calls
import Testing

@Suite struct TrafficTests {
    private func traffic(_ weights: [(version: Int, weight: UInt64)]) throws -> Traffic { try Traffic(weights) }

    @Test func sharesAreInOrderAndWithoutZeros() throws {
        let traffic = try traffic([(4, 10), (2, 0), (3, 90)])
        #expect(traffic.shares.map(\.version) == [3, 4] && traffic.shares.map(\.weight) == [90, 10])
        #expect(traffic.weight(of: 4) == 10 && traffic.weight(of: 2) == 0 && traffic.weight(of: 9) == 0)
        #expect(traffic.main == 3 && traffic.newest == 4)
        #expect(Traffic(version: 7).shares.map(\.weight) == [100] && Traffic(version: 7).newest == 7)
    }

    @Test func ofSharesAlikeTheNewestIsMain() throws {
        #expect(try traffic([(1, 50), (2, 50)]).main == 2)
    }

    @Test(
        arguments: [
            ([(3, 90), (4, 9)], Traffic.Problem.sum(99)), ([(3, 90), (4, 11)], .sum(101)), ([], .sum(0)),
            ([(3, 0)], .sum(0)), ([(3, 101)], .weight(version: 3, 101)), ([(3, .max)], .weight(version: 3, .max)),
            ([(3, 50), (3, 50)], .twice(version: 3)),
        ] as [([(version: Int, weight: UInt64)], Traffic.Problem)])
    func whatIsNoDivisionIsRefused(weights: [(version: Int, weight: UInt64)], problem: Traffic.Problem) {
        #expect(throws: problem) { try Traffic(weights) }
    }

    @Test func aHundredCallsMeetEachPointOnce() {
        for start in [0, 7, 100, UInt64.max - 200] {
            let points = (start..<start + 100).map { Traffic.point(ofCall: $0) }
            #expect(Set(points) == Set(0..<100) || start > 1000)
        }
        // The points are mixed: a share of 10 % never gets two calls in a row.
        let points = (0..<UInt64(100)).map { Traffic.point(ofCall: $0) }
        #expect(!zip(points, points.dropFirst()).contains { $0 >= 90 && $1 >= 90 })
    }

    @Test func keysAreSpreadAndStay() {
        var counts = [Int](repeating: 0, count: 100)
        for number in 0..<20_000 {
            let point = Traffic.point(of: "user-\(number)", in: "echo")
            #expect(point == Traffic.point(of: "user-\(number)", in: "echo"))
            counts[point] += 1
        }
        #expect(counts.allSatisfy { (120...290).contains($0) })
        // A key that leads to the new version of one function does not lead to the new version of every function.
        let alike = (0..<1_000).count {
            Traffic.point(of: "user-\($0)", in: "echo") == Traffic.point(of: "user-\($0)", in: "ocr")
        }
        #expect(alike < 50)
    }
}
