import Calls
import GRPC
@testable import GatewayGRPC
import GatewayProtocol
@testable import Link
import Platform
import SwiftProtobuf
import Synchronization
import TestSupport
import Testing

/// Links that move from thread to thread while calls go on.
@Suite struct LinkThreadsTests {
    private static let functions = ["a", "b", "c", "d"]

    /// What the movers of links and the callers share.
    private final class Moves: Sendable {
        let count = Atomic<Int>(0)
        let areOver = Atomic<Bool>(false)
    }

    /// Makes calls of every kind to one function.
    private func call(_ function: String, _ test: InvokeTest, rounds: Int) async throws {
        // No two functions wait for each other: each runs one call at a time.
        let others = Self.functions.filter { $0 > function }
        for round in 0..<rounds {
            #expect(try await test.invoke(function, "echo \(function)\(round)").output == "\(function)\(round)")
            if !others.isEmpty {
                let chained = "call \(others[round % others.count]) echo x\(round)"
                #expect(try await test.invoke(function, chained).output == "x\(round)")
            }
            let large = String(repeating: "l", count: 300_000 + round)
            #expect(try await test.invoke(function, "echo \(large)").output == large)
            let stream = try test.channel.call(GatewayMethod.invokes.path)
            try await stream.send(try InvokeTest.request(function, "pieces 300 1024"))
            try await stream.closeSend()
            var pieces = 0
            while let message = try await stream.receive() {
                pieces += try Pb_Messages(serializedBytes: message).last ? 0 : 1
            }
            #expect(pieces == 300)
        }
    }

    @Test func callsGoOnWhileLinksMove() async throws {
        let test = try InvokeTest(linkThreads: 3)
        try await test.run(Self.functions) { _ in
            let threads = test.links.threads
            let moves = Moves()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while !moves.areOver.load(ordering: .relaxed) {
                        for (index, thread) in threads.enumerated() {
                            let target = threads[(index + 1) % threads.count]
                            thread.perform { loop in
                                for link in Array(loop.links.values) {
                                    loop.move(link, to: target)
                                    moves.count.add(1, ordering: .relaxed)
                                }
                            }
                        }
                        try await Task.sleep(for: .microseconds(500))
                    }
                }
                group.addTask {
                    defer { moves.areOver.store(true, ordering: .relaxed) }
                    try await withThrowingTaskGroup(of: Void.self) { callers in
                        for function in Self.functions {
                            callers.addTask { try await call(function, test, rounds: 15) }
                        }
                        try await callers.waitForAll()
                    }
                }
                try await group.waitForAll()
            }
            #expect(moves.count.load(ordering: .relaxed) > 0)
        }
    }

    /// The rule: a busy thread gives away up to half of its work, and gets it back when it has little to do.
    @Test(arguments: [LoadBounds(busy: 0, window: .zero), LoadBounds(busy: 0.05, idle: 0.05, window: .zero)])
    func callsGoOnWhileThreadsShareThem(load: LoadBounds) async throws {
        let test = try InvokeTest(linkThreads: 3, load: load)
        try await test.run(Self.functions) { _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for function in Self.functions { group.addTask { try await call(function, test, rounds: 5) } }
                try await group.waitForAll()
            }
        }
    }

    @Test func aBusyThreadGivesAwayUpToHalfOfItsWork() async throws {
        let test = try InvokeTest(linkThreads: 2, load: LoadBounds(window: .seconds(3_600)))
        try await test.run(Self.functions) { _ in
            let (first, second) = (test.links.threads[0], test.links.threads[1])
            // The links by their descriptors, in the order in which they came.
            let links = await counted(first).keys.sorted()
            // One moment for all: a measure that is a second old does not count.
            let now = MonotonicTime.now
            func share(_ share: Double, on thread: LinkThread, work: [Int] = []) async {
                let done = Promise<Void>()
                thread.perform { loop in
                    for (link, work) in zip(links, work) { loop.links[link]?.work = work }
                    loop.shareLinks(share, at: now)
                    done.settle(())
                }
                _ = await done.value()
            }
            await share(0.7, on: first, work: [5, 4, 3, 0])
            #expect(await counted(first).count == 4)
            // One link alone stays, however busy it is.
            await share(0.9, on: first, work: [5, 0, 0, 0])
            #expect(await counted(first).count == 4)
            await share(0.9, on: first, work: [5, 4, 1, 0])
            #expect(await counted(second).keys.sorted() == [links[1], links[2]])
            // The other one is as busy: there is nothing to gain.
            await share(0.9, on: second)
            await share(0.9, on: first, work: [5, 0, 0, 2])
            #expect(await counted(first).count == 2)
            await share(0.05, on: first)
            await share(0.5, on: second)
            #expect(await counted(second).count == 2)
            await share(0.1, on: second)
            #expect(await counted(first).keys.sorted() == links)
            for function in Self.functions { try await call(function, test, rounds: 1) }
        }
    }

    /// The links of a thread, with their work.
    private func counted(_ thread: LinkThread) async -> [Int32: Int] {
        let found = Promise<[Int32: Int]>()
        thread.perform { loop in found.settle(loop.links.mapValues(\.work)) }
        return await found.value() ?? [:]
    }

    /// A large input that its handler has not read waits in the link while that moves.
    @Test func aFullLinkGoesOnAfterItHasMoved() async throws {
        let test = try InvokeTest(linkThreads: 2)
        try await test.run(["a"]) { handlers in
            let handler = try #require(handlers["a"])
            let large = String(repeating: "l", count: 3 << 20)
            handler.pauseReading()
            async let replies = withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<4 { group.addTask { try await test.invoke("a", "echo \(large)").output == large } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            while test.gate.count < 4 { try await Task.sleep(for: .milliseconds(1)) }
            for (from, to) in [(0, 1), (1, 0), (0, 1)] {
                let threads = test.links.threads
                threads[from].perform { loop in
                    for link in Array(loop.links.values) { loop.move(link, to: threads[to]) }
                }
                try await Task.sleep(for: .milliseconds(5))
            }
            handler.resumeReading()
            #expect(try await replies == [true, true, true, true])
        }
    }
}
