import GRPC
import Gateway
import Testing
import WatcherLink

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
        #expect(table.route(of: "echo", key: nil) === two)
        #expect(table.route(of: "echo", key: "somebody") === two)
        #expect(table.route(of: "echo@1", key: nil) === one)
        #expect(table.route(of: "echo@2", key: nil) === two)
        for service in ["echo@3", "echo@", "echo@01", "ech", "", "echo@1@1"] {
            #expect(table.route(of: service, key: nil) == nil)
        }
    }

    @Test func callsAreDividedByWeight() throws {
        let (one, two) = (route("echo"), route("echo"))
        table.set("echo", versions: [1: one, 2: two], traffic: try Traffic([(version: 1, weight: 90), (2, 10)]))
        let routes = (0..<1_000).map { _ in table.route(of: "echo", key: nil) }
        #expect(routes.count { $0 === two } == 100)
        #expect(table.route(of: "echo@2", key: nil) === two)
    }

    @Test func aKeyStaysWithItsVersionAndMovesOnlyForANewShare() throws {
        let (one, two) = (route("echo"), route("echo"))
        let keys = (0..<1_000).map { "user-\($0)" }
        table.set("echo", versions: [1: one, 2: two], traffic: try Traffic([(version: 1, weight: 90), (2, 10)]))
        let before = keys.map { table.route(of: "echo", key: $0) === two }
        #expect(keys.map { table.route(of: "echo", key: $0) === two } == before)
        #expect((60...140).contains(before.count { $0 }))
        table.set("echo", versions: [1: one, 2: two], traffic: try Traffic([(version: 1, weight: 70), (2, 30)]))
        let after = keys.map { table.route(of: "echo", key: $0) === two }
        // Nobody goes back to the old version because the new one gets more.
        #expect(zip(before, after).allSatisfy { !$0 || $1 })
        #expect((240...360).contains(after.count { $0 }))
    }

    @Test func whatIsTakenOutIsNoLongerFound() {
        let (one, two, other) = (route("echo"), route("echo"), route("other"))
        table.set("echo", versions: [1: one, 2: two], traffic: Traffic(version: 2))
        table.set("other", versions: [1: other], traffic: Traffic(version: 1))
        table.set("echo", versions: [2: two], traffic: Traffic(version: 2))
        #expect(table.route(of: "echo@1", key: nil) == nil)
        #expect(table.route(of: "echo@2", key: nil) === two)
        table.remove("echo")
        #expect(table.route(of: "echo", key: nil) == nil && table.route(of: "echo@2", key: nil) == nil)
        #expect(table.route(of: "other", key: nil) === other)
    }

    @Test(arguments: [
        ("echo@9", Status.Code.notFound, "no version 9; kept: 3, 11"),
        ("echo@0", .invalidArgument, "\"0\" is no version"), ("echo@latest", .invalidArgument, "as echo@11"),
        ("echo@", .invalidArgument, "is no version"), ("echo@03", .invalidArgument, "is no version"),
        ("ecko@3", .notFound, "did you mean \"echo\"?"), ("ecko", .notFound, "did you mean \"echo\"?"),
        ("Echo", .invalidArgument, "lower-case"), ("", .invalidArgument, "empty"),
    ])
    func whatIsNotThereIsSaid(service: String, code: Status.Code, words: String) {
        table.set("echo", versions: [11: route("echo"), 3: route("echo")], traffic: Traffic(version: 3))
        let failure = table.unknown(service)
        #expect(failure.code == code && failure.executed == .no)
        #expect(failure.message.contains(words), "\(failure.message)")
    }
}
