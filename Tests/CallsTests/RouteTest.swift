@testable import Calls
import FunctionConfig
import Platform
import TestSupport
import Testing

/// A route with a clock that the test sets.
struct RouteTest {
    let queuedBytes = QueuedBytes(limit: 1 << 20)
    let busy = BusyRoutes()
    let settings: RouteSettings
    private let start = MonotonicTime.now
    let route: FunctionRoute

    init(_ settings: RouteSettings = RouteSettings(callTimeout: .seconds(1_000), queueBound: 1_000)) {
        self.settings = settings
        route = FunctionRoute(
            name: "f", settings: settings, context: RouteContext(queuedBytes: queuedBytes, busy: busy))
    }

    static func batch(_ sizeMax: Int, waitMax: Duration = .zero) -> RouteSettings {
        var batch = BatchConfig(sizeMax: sizeMax)
        batch.waitMax = waitMax
        return RouteSettings(callTimeout: .seconds(1_000), queueBound: 1_000, batch: batch)
    }

    func watcher(at micros: Int64 = 0) -> FakeReplica { FakeReplica(route, settings, at: at(micros)) }

    func at(_ micros: Int64) -> MonotonicTime { start.advanced(by: .microseconds(micros)) }

    @discardableResult
    func call(_ input: String, at micros: Int64, timeout: Int64 = 1_000_000_000) -> FakeCall {
        let call = FakeCall()
        route.admit(call.invocation(input, of: route, at: at(micros), timeout: timeout))
        return call
    }

    @discardableResult
    func sweep(at micros: Int64) -> FunctionRoute.Sweep {
        route.sweep(at: at(micros), watchAfter: 2_000_000)
    }

    /// Lets the replica show that its calls take 5 microseconds, so that calls are sent ahead to it.
    func warm(_ watcher: FakeReplica, at micros: Int64) {
        call("warm", at: micros)
        watcher.reply(watcher.received().map(\.id), at: at(micros + 5))
    }

    /// Expects that the route has no call, and that `waiting` calls wait elsewhere with one byte each.
    func expectEmptyBut(waiting: Int, _ location: SourceLocation = #_sourceLocation) {
        #expect(route.load.isIdle, sourceLocation: location)
        #expect(queuedBytes.count == waiting, sourceLocation: location)
    }

    /// Expects that nothing is left of any call.
    func expectEmpty(_ location: SourceLocation = #_sourceLocation) {
        #expect(route.load.isIdle, sourceLocation: location)
        #expect(queuedBytes.count == 0, sourceLocation: location)
    }
}
