import LinkRelay
import Testing
import WatcherLink

/// Where frames go between one watcher and two gateways.
@Suite struct RelayTableTests {
    private let table = Relay()

    private func frame(
        _ kind: FrameKind, flags: FrameFlags = .none, id: UInt64 = 0, head: [UInt8] = [], kind number: UInt8? = nil,
        _ payload: String = ""
    ) -> [UInt8] {
        var bytes = FrameHeader.frame(kind, flags: flags, id: id, head: head, payload: Array(payload.utf8))
        if let number { bytes[4] = number }
        return bytes
    }

    /// - Parameter input: the call's id on the gateway's side.
    private func call(_ id: UInt64, input: UInt64? = nil) -> [UInt8] {
        frame(.call, id: id, head: CallHead(remainingMicros: 0, requestID: "r").head, "input \(input ?? id)")
    }

    private func reply(_ id: UInt64) -> [UInt8] { frame(.reply, flags: .text, id: id, head: [0, 0], "output") }

    private func bothJoin() {
        #expect(table.join(0) == [])
        #expect(table.join(1) == [])
    }

    @Test func callsOfTheSameIdStayApart() throws {
        bothJoin()
        #expect(try table.handle(call(7), from: 0) == [.toWatcher(call(1, input: 7))])
        #expect(try table.handle(call(7), from: 1) == [.toWatcher(call(2, input: 7))])
        #expect(try table.handle(frame(.piece, id: 2, "p")) == [.toGateway(1, frame(.piece, id: 7, "p"))])
        let credit = { (id: UInt64) in frame(.credit, id: id, head: Credit(bytes: 5).head) }
        #expect(try table.handle(credit(7), from: 1) == [.toWatcher(credit(2))])
        let cancel = { (id: UInt64) in frame(.cancel, flags: .optional, id: id) }
        #expect(try table.handle(cancel(7), from: 0) == [.toWatcher(cancel(1))])
        #expect(try table.handle(reply(2)) == [.toGateway(1, reply(7))])
        #expect(try table.handle(reply(1)) == [.toGateway(0, reply(7))])
        #expect(try table.handle(reply(1)) == [], "answered once")
        #expect(try table.handle(cancel(7), from: 0) == [], "nothing to cancel")
    }

    @Test func whatTheWatcherSaidIsToldToThoseWhoComeLater() throws {
        #expect(table.join(0) == [])
        let ready = frame(.ready, head: Ready(constructorMicros: 5).head)
        #expect(try table.handle(ready) == [.toGateway(0, ready)])
        #expect(table.join(1) == [.toGateway(1, ready)])
        #expect(table.gateways == [0, 1])
    }

    @Test func aBatchComesAtOneGo() throws {
        bothJoin()
        let batch = frame(.batch, head: BatchHead(count: 2).head)
        #expect(try table.handle(batch, from: 0) == [])
        #expect(try table.handle(call(1), from: 0) == [])
        guard case .toWatcher(let other) = try table.handle(call(1), from: 1).first else {
            Issue.record("the other's call does not wait")
            return
        }
        #expect(other == call(2, input: 1))
        let whole = batch + call(1) + call(3, input: 2)
        #expect(try table.handle(call(2), from: 0) == [.toWatcher(whole)])
    }

    @Test func eachGetsBackItsOwn() throws {
        bothJoin()
        for id: UInt64 in 1...2 {
            _ = try table.handle(call(id), from: 0)
            _ = try table.handle(call(id), from: 1)
        }
        #expect(try table.handle(frame(.recall), from: 0) == [.toWatcher(frame(.recall))])
        let returned = { (ids: [UInt64]) in frame(.returned, head: Returned(calls: ids).head) }
        #expect(
            try table.handle(returned([2, 3, 4])) == [.toGateway(0, returned([2])), .toGateway(1, returned([1, 2]))])
        // Only the first call of gateway 0 is still there. The other gateway gets an empty Returned.
        _ = try table.handle(frame(.recall), from: 1)
        #expect(try table.handle(returned([])) == [.toGateway(1, returned([]))])
        #expect(try table.handle(reply(1)) == [.toGateway(0, reply(1))])
    }

    @Test func aGatewayThatGoesTakesItsCallsWithIt() throws {
        bothJoin()
        _ = try table.handle(call(1), from: 0)
        _ = try table.handle(call(1), from: 1)
        _ = try table.handle(frame(.recall), from: 0)
        let out = frame(.callOut, id: 9, head: CallOutHead(parent: 1, timeoutMicros: 0, function: "f").head, "in")
        _ = try table.handle(out)
        let lost = CallReplyHead(code: 14, executed: .maybe, message: "the gateway went away")
        #expect(
            table.lose(0) == [
                .toWatcher(frame(.cancel, flags: .optional, id: 1)),
                .toWatcher(frame(.callReply, id: 9, head: lost.head)),
            ])
        #expect(try table.handle(reply(1)) == [])
        let returned = { (id: UInt64) in frame(.returned, head: Returned(calls: [id]).head) }
        #expect(try table.handle(returned(2)) == [.toGateway(1, returned(1))])
        #expect(table.gateways == [1])
    }

    @Test func aHandlersCallGoesWhereItsOwnCameFrom() throws {
        bothJoin()
        _ = try table.handle(call(5), from: 1)
        let out = { (parent: UInt64) in
            frame(.callOut, id: 9, head: CallOutHead(parent: parent, timeoutMicros: 3, function: "f").head, "in")
        }
        #expect(try table.handle(out(1)) == [.toGateway(1, out(5))])
        let answer = frame(.callReply, id: 9, head: CallReplyHead(code: 0, executed: .yes, message: "").head, "out")
        #expect(try table.handle(answer, from: 0) == [], "not asked")
        #expect(try table.handle(answer, from: 1) == [.toWatcher(answer)])
        #expect(try table.handle(out(0)) == [.toGateway(0, out(0))], "any gateway, if there is no call")
        #expect(try table.handle(frame(.cancel, id: 9)) == [.toGateway(0, frame(.cancel, id: 9))])
        _ = table.lose(0)
        _ = table.lose(1)
        let none = CallReplyHead(code: 14, executed: .no, message: "the gateway went away")
        #expect(try table.handle(out(0)) == [.toWatcher(frame(.callReply, id: 9, head: none.head))])
    }

    @Test func everyGatewayLearnsThePace() throws {
        bothJoin()
        let pace = frame(.pace, flags: .optional, head: Pace(nanoseconds: 8_000).head)
        #expect(try table.handle(pace) == [.toGateway(0, pace), .toGateway(1, pace)])
        #expect(throws: LinkError.self) { try table.handle(pace, from: 0) }
        let ready = frame(.ready, head: Ready(constructorMicros: 1).head)
        _ = try table.handle(ready)
        #expect(table.join(2) == [.toGateway(2, ready), .toGateway(2, pace)], "one that comes later too")
    }

    @Test func aDrainIsToldToAllAndEndsNobodysCall() throws {
        bothJoin()
        _ = try table.handle(call(1), from: 1)
        let leaving = frame(.leaving, flags: .optional)
        #expect(try table.handle(frame(.drain), from: 0) == [.toGateway(1, leaving), .toWatcher(frame(.drain))])
        let returned = frame(.returned, head: Returned(calls: [2]).head)
        #expect(try table.handle(call(2), from: 1) == [.toGateway(1, returned)])
        #expect(try table.handle(leaving) == [], "said already")
        #expect(try table.handle(reply(1)) == [.toGateway(1, reply(1))])
        #expect(table.join(2) == [.toGateway(2, leaving)])
    }

    @Test func whatMustNotComeIsAnError() throws {
        bothJoin()
        #expect(try table.handle(frame(.stop, flags: .optional), from: 1) == [.stop])
        let stacks = frame(.stacks, flags: .optional)
        #expect(try table.handle(stacks, from: 1) == [.toWatcher(stacks)])
        #expect(throws: LinkError.unexpected(.welcome, "came out of turn")) {
            _ = try table.handle(frame(.welcome), from: 0)
        }
        let unknown = frame(.drain, kind: 99)
        #expect(throws: LinkError.unknownKind(99)) { try table.handle(unknown, from: 0) }
        let optional = frame(.drain, flags: .optional, kind: 99)
        #expect(try table.handle(optional, from: 0) == [])
        #expect(try table.handle(optional) == [])
    }
}

/// Holds a table, so that a test can change it within an expectation.
private final class Relay {
    private var table = RelayTable()

    var gateways: [Int] { table.gateways }

    func join(_ gateway: Int) -> [RelayTable.Action] { table.join(gateway) }

    func lose(_ gateway: Int) -> [RelayTable.Action] { table.lose(gateway) }

    func handle(_ frame: [UInt8]) throws -> [RelayTable.Action] { try table.handle(frame) }

    func handle(_ frame: [UInt8], from gateway: Int) throws -> [RelayTable.Action] {
        try table.handle(frame, from: gateway)
    }
}
