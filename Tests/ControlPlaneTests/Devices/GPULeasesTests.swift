@testable import ControlPlane
import Platform
import TestSupport
import Testing

@Suite struct GPULeasesTests {
    private static let one = GPURequest(count: 1)
    private static let two = GPURequest(count: 2)
    private static let shared = GPURequest(count: 1, isShared: true)

    private func leases(_ count: Int) -> GPULeases {
        let leases = GPULeases()
        leases.update(devices: (0..<count).map { GPUDevice(uuid: "GPU-\($0)", number: "\($0)", name: "Stand-in") })
        return leases
    }

    private func holder(_ function: String, _ replica: Int = 1) -> GPUHolder {
        GPUHolder(function: function, version: 1, replica: replica)
    }

    private func numbers(_ lease: GPULease?) -> [String]? { lease?.devices.map(\.number) }

    @Test func aDeviceBelongsToOne() throws {
        let leases = leases(2)
        let first = try #require(leases.take(Self.one, for: holder("a")))
        let second = try #require(leases.take(Self.one, for: holder("b")))
        #expect(numbers(first) == ["0"])
        #expect(numbers(second) == ["1"])
        #expect(leases.take(Self.one, for: holder("c")) == nil)
        #expect(leases.room(for: Self.one) == 0)
        first.end()
        let third = try #require(leases.take(Self.one, for: holder("c")))
        #expect(numbers(third) == ["0"])
        // A second end does not take the device from its next holder.
        first.end()
        #expect(leases.holders.map { $0.holders.map(\.description) } == [["c@1 replica 1"], ["b@1 replica 1"]])
    }

    @Test func aLeaseThatNobodyHasIsOver() {
        let leases = leases(1)
        _ = leases.take(Self.one, for: holder("a"))
        #expect(leases.room(for: Self.one) == 1)
    }

    @Test func severalComeTogetherOrNotAtAll() throws {
        let leases = leases(3)
        let pair = try #require(leases.take(Self.two, for: holder("a")))
        #expect(numbers(pair) == ["0", "1"])
        #expect(leases.take(Self.two, for: holder("b")) == nil)
        #expect(leases.room(for: Self.one) == 1)
        pair.end()
        #expect(leases.room(for: Self.two) == 1)
    }

    @Test func thoseThatMayShareSpread() throws {
        let leases = leases(2)
        var held: [GPULease] = []
        for replica in 1...4 {
            held.append(try #require(leases.take(Self.shared, for: holder("a", replica))))
        }
        #expect(held.map { numbers($0) } == [["0"], ["1"], ["0"], ["1"]])
        #expect(leases.take(Self.one, for: holder("b")) == nil)
        #expect(leases.room(for: Self.shared) == .max)
        held.remove(at: 2).end()
        held.remove(at: 0).end()
        let alone = try #require(leases.take(Self.one, for: holder("b")))
        #expect(numbers(alone) == ["0"])
        // A replica that shares does not get a device whose holder does not share.
        #expect(numbers(leases.take(Self.shared, for: holder("c"))) == ["1"])
    }

    @Test func reservesForAllOrForNone() async throws {
        let leases = leases(3)
        let held = try await leases.reserve(Self.one, for: [holder("a", 1), holder("a", 2)])
        let error = await #expect(throws: GPUShortage.self) {
            try await leases.reserve(Self.one, for: [holder("b", 1), holder("b", 2)])
        }
        #expect(
            error?.description
                == "limits.gpu: 1 for each of 2 replicas needs 2 GPUs, the gateway may use 3 for that, and "
                + "1 of them is free; held: 0 by a@1 replica 1, 1 by a@1 replica 2")
        #expect(error?.isPermanent == false)
        #expect(leases.room(for: Self.one) == 1)
        withExtendedLifetime(held) {}
    }

    @Test func tooFewIsSaidSo() async {
        let leases = leases(1)
        let error = await #expect(throws: GPUShortage.self) { try await leases.reserve(Self.two, for: [holder("a")]) }
        #expect(error?.description == "limits.gpu: 2 needs 2 GPUs, and the gateway may use 1 for that")
        #expect(error?.isPermanent == true)
    }

    @Test func manyHoldersAreCounted() {
        let leases = leases(1)
        let held = (1...5).map { leases.take(Self.shared, for: holder("a", $0)) }
        let text = leases.shortage(Self.one, replicas: 1)?.description ?? ""
        #expect(text.hasSuffix("held: 0 by a@1 replica 1 and a@1 replica 2 and a@1 replica 3 and 2 more"))
        withExtendedLifetime(held) {}
    }

    @Test func waitsForThoseThatStop() async throws {
        let leases = leases(1)
        let old = try #require(leases.take(Self.one, for: holder("a")))
        old.markStopping()
        #expect(leases.shortage(Self.one, replicas: 1) == nil)
        #expect(leases.take(Self.one, for: holder("b")) == nil)
        async let new = leases.reserve(Self.one, for: [holder("b")])
        old.end()
        let held = try await new
        #expect(numbers(held.first) == ["0"])
    }

    @Test func whoHasWaitedLongestAndFitsComesFirst() async throws {
        let leases = leases(2)
        let never = Promise<Void>()
        let held = [leases.take(Self.one, for: holder("a")), leases.take(Self.one, for: holder("b"))]
        await withTaskGroup(of: (String, [String]?).self) { group in
            group.addTask { ("large", numbers(await leases.wait(Self.two, for: holder("large"), until: never))) }
            group.addTask { ("small", numbers(await leases.wait(Self.one, for: holder("small"), until: never))) }
            // Neither gets its devices now. One free device is enough for the small one only.
            await waitUntil { leases.waiting == 2 }
            held[0]?.end()
            #expect(await group.next()?.0 == "small")
            // The small one's lease has ended with its task.
            held[1]?.end()
            let last = await group.next()
            #expect(last?.0 == "large")
            #expect(last?.1 == ["0", "1"])
        }
    }

    @Test func aWaitEndsWhenTheReplicaIsStopped() async throws {
        let leases = leases(1)
        let held = try #require(leases.take(Self.one, for: holder("a")))
        let stopped = Promise<Void>()
        async let lease = leases.wait(Self.one, for: holder("b"), until: stopped)
        await waitUntil { leases.waiting == 1 }
        stopped.settle(())
        #expect(await lease == nil)
        #expect(leases.waiting == 0)
        held.end()
        #expect(leases.room(for: Self.one) == 1)
    }

    @Test func devicesThatComeServeThoseThatWait() async {
        let leases = GPULeases()
        #expect(leases.shortage(Self.one, replicas: 1)?.isPermanent == true)
        let never = Promise<Void>()
        async let lease = leases.wait(Self.one, for: holder("a"), until: never)
        await waitUntil { leases.waiting == 1 }
        leases.update(devices: [GPUDevice(uuid: "GPU-0", number: "0")])
        #expect(numbers(await lease) == ["0"])
    }

    @Test func partsAreForThoseThatNeedOne() {
        let leases = GPULeases()
        leases.update(devices: [
            GPUDevice(uuid: "MIG-0", number: "0:0", isPart: true),
            GPUDevice(uuid: "MIG-1", number: "0:1", isPart: true),
            GPUDevice(uuid: "GPU-1", number: "1"),
        ])
        #expect(leases.shortage(Self.two, replicas: 1)?.isPermanent == true)
        #expect(leases.room(for: Self.one) == 3)
    }

    @Test(.timeLimit(.minutes(10))) func manyAtOnceNeverHaveTheSame() async {
        let leases = leases(3)
        let never = Promise<Void>()
        await withDiscardingTaskGroup { group in
            for replica in 1...200 {
                group.addTask {
                    let lease = await leases.wait(Self.one, for: holder("a", replica), until: never)
                    #expect(leases.holders.allSatisfy { $0.holders.count <= 1 })
                    lease?.end()
                }
            }
        }
        #expect(leases.room(for: Self.one) == 3)
    }
}
