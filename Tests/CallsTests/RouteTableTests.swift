import Calls
import Platform
import Testing

@Suite struct RouteTableTests {
    private let table = RouteTable()

    private func route(_ name: String) -> FunctionRoute {
        FunctionRoute(
            name: name, settings: RouteSettings(callTimeout: .seconds(60), queueBound: 10),
            context: RouteContext(queuedBytes: QueuedBytes(limit: 1_000_000), busy: BusyRoutes()))
    }

    @Test func aFunctionAndItsVersions() {
        let (one, two) = (route("echo"), route("echo"))
        table.set("echo", versions: [1: one, 2: two], traffic: Traffic(version: 2))
        #expect(table.destination(of: "echo", key: nil)?.route === two)
        #expect(table.destination(of: "echo", key: "somebody")?.route === two)
        #expect(table.destination(of: "echo@1", key: nil)?.route === one)
        #expect(table.destination(of: "echo@2", key: nil)?.route === two)
        for service in ["echo@3", "echo@", "echo@01", "ech", "", "echo@1@1"] {
            #expect(table.destination(of: service, key: nil)?.route == nil)
        }
    }

    @Test func callsAreDividedByWeight() throws {
        let (one, two) = (route("echo"), route("echo"))
        table.set("echo", versions: [1: one, 2: two], traffic: try Traffic([(version: 1, weight: 90), (2, 10)]))
        let routes = (0..<1_000).map { _ in table.destination(of: "echo", key: nil)?.route }
        #expect(routes.count { $0 === two } == 100)
        #expect(table.destination(of: "echo@2", key: nil)?.route === two)
    }

    @Test func aKeyStaysWithItsVersionAndMovesOnlyForANewShare() throws {
        let (one, two) = (route("echo"), route("echo"))
        let keys = (0..<1_000).map { "user-\($0)" }
        table.set("echo", versions: [1: one, 2: two], traffic: try Traffic([(version: 1, weight: 90), (2, 10)]))
        let before = keys.map { table.destination(of: "echo", key: $0)?.route === two }
        #expect(keys.map { table.destination(of: "echo", key: $0)?.route === two } == before)
        #expect((60...140).contains(before.count { $0 }))
        table.set("echo", versions: [1: one, 2: two], traffic: try Traffic([(version: 1, weight: 70), (2, 30)]))
        let after = keys.map { table.destination(of: "echo", key: $0)?.route === two }
        // No key goes back to the old version when the new one gets more traffic.
        #expect(zip(before, after).allSatisfy { !$0 || $1 })
        #expect((240...360).contains(after.count { $0 }))
    }

    @Test func whatIsTakenOutIsNoLongerFound() {
        let (one, two, other) = (route("echo"), route("echo"), route("other"))
        table.set("echo", versions: [1: one, 2: two], traffic: Traffic(version: 2))
        table.set("other", versions: [1: other], traffic: Traffic(version: 1))
        table.set("echo", versions: [2: two], traffic: Traffic(version: 2))
        #expect(table.destination(of: "echo@1", key: nil)?.route == nil)
        #expect(table.destination(of: "echo@2", key: nil)?.route === two)
        table.remove("echo")
        #expect(
            table.destination(of: "echo", key: nil)?.route == nil
                && table.destination(of: "echo@2", key: nil)?.route == nil)
        #expect(table.destination(of: "other", key: nil)?.route === other)
    }

    @Test(arguments: [
        ("echo@9", StatusCode.notFound, "no version 9; kept: 3, 11"),
        ("echo@0", .invalidArgument, "\"0\" is not a version"),
        ("echo@latest", .invalidArgument, "for example echo@11"),
        ("echo@", .invalidArgument, "is not a version"), ("echo@03", .invalidArgument, "is not a version"),
        ("ecko@3", .notFound, "did you mean \"echo\"?"), ("ecko", .notFound, "did you mean \"echo\"?"),
        ("Echo", .invalidArgument, "lower-case"), ("", .invalidArgument, "empty"),
    ])
    func whatIsNotThereIsSaid(service: String, code: StatusCode, words: String) {
        table.set("echo", versions: [11: route("echo"), 3: route("echo")], traffic: Traffic(version: 3))
        let failure = table.unknown(service)
        #expect(failure.code == code && failure.executed == .no)
        #expect(failure.message.contains(words), "\(failure.message)")
    }
}
