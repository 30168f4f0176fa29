@testable import Calls
import Platform
import Synchronization
import TestSupport
import Testing

/// Tests everything that a front uses, with a replica that the test plays.
@Suite struct FrontTests {
    private final class Source: PieceSource {
        let taken = Mutex<[Int]>([])
        let isCancelled = Atomic<Bool>(false)
        func taken(_ bytes: Int) { taken.withLock { $0.append(bytes) } }
        func cancel() { isCancelled.store(true, ordering: .relaxed) }
    }

    /// Memory in two segments.
    private final class Halves: InputStorage, @unchecked Sendable {
        // @unchecked: `bytes` is written by the initializer and only read afterwards.

        private let bytes: UnsafeMutableRawBufferPointer
        private let middle: Int

        init(_ text: String, middle: Int) {
            bytes = .allocate(byteCount: text.utf8.count, alignment: 1)
            bytes.copyBytes(from: text.utf8)
            self.middle = middle
        }

        deinit { bytes.deallocate() }

        var segmentCount: Int { 2 }
        func segment(_ index: Int) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: index == 0 ? bytes[..<middle] : bytes[middle...])
        }
    }

    private let observer = OutcomeRecorder()
    private let plane: CallPlane
    private let front: TestFront
    private let settings = RouteSettings(callTimeout: .seconds(1_000), queueBound: 1)
    private let route: FunctionRoute

    init() {
        plane = CallPlane(
            maxInputBytes: 100, maxMetadataBytes: 1 << 10, chainDepth: 8, queuedBytes: 1 << 10, observers: [observer])
        front = TestFront(plane)
        route = FunctionRoute(name: "f", version: 3, settings: settings, context: plane.routing)
        plane.routes.set("f", versions: [3: route], traffic: Traffic(version: 3))
    }

    private func input(_ text: String) -> InvocationInput {
        Array(text.utf8).withUnsafeBytes { InvocationInput(copying: $0) }
    }

    private var outcomes: [CallOutcome] { observer.outcomes }

    private func answer(_ call: TestCall) -> Result<[UInt8], CallFailure>? { call.answer.current }

    /// Answers a call of the replica with these bytes.
    private func reply(_ replica: FakeReplica, _ id: UInt64, _ text: String) {
        var answers = [AnsweredCall(id: id)]
        var sends: [SentCall] = []
        route.answered(&answers, by: replica.slots, sends: &sends)
        Array(text.utf8).withUnsafeBytes { bytes in
            _ = answers[0].invocation?.reply(InvocationOutput(borrowing: bytes))
        }
    }

    @Test func aCallComesBackWithItsReply() throws {
        let replica = FakeReplica(route, settings, at: .now)
        let call = front.call("f", input("hello"), headers: [("x-own", "1"), ("test-own", "2"), ("cookie", "3")])
        let word = try #require(replica.received().first)
        #expect(word.payload == "hello")
        #expect(plane.gate.count == 1)
        reply(replica, word.id, "hi")
        #expect(try answer(call)?.get() == Array("hi".utf8))
        #expect(plane.gate.count == 0)
        let outcome = try #require(outcomes.first)
        #expect(outcomes.count == 1)
        #expect((outcome.function, outcome.version) == ("f", 3))
        #expect((outcome.code, outcome.executed) == (.ok, .yes))
        #expect((outcome.bytesIn, outcome.bytesOut) == (5, 2))
        #expect(outcome.sent != nil && outcome.queuedNanos >= 0 && outcome.totalNanos >= outcome.sentNanos)
    }

    @Test func anInputIsReadWhereItLies() throws {
        let replica = FakeReplica(route, settings, at: .now)
        let storage = Halves("..hello..", middle: 4)
        let input = InvocationInput(storage, offset: 2, count: 5)
        var starts: [UnsafeRawPointer?] = []
        input.forEachPiece { piece in
            starts.append(piece.baseAddress)
            return true
        }
        #expect(starts == [storage.segment(0).baseAddress.map { $0 + 2 }, storage.segment(1).baseAddress])
        _ = front.call("f", input)
        #expect(replica.received().map(\.payload) == ["hello"])
    }

    @Test func aLargeReplyIsTakenWhereItLies() {
        let memory = OwnedBytes(count: 3)
        memory.bytes.copyBytes(from: "abc".utf8)
        let start = UnsafeRawPointer(memory.bytes.baseAddress)
        let output = InvocationOutput(owning: memory)
        #expect(output.isOwned && output.bytes.baseAddress == start)
        switch output.takeMemory() {
        case .some(let taken): #expect(UnsafeRawPointer(taken.bytes.baseAddress) == start)
        case .none: Issue.record("an owned output gives its memory up")
        }
    }

    @Test func everyRefusalPassesTheSameEnd() {
        let expected: [(TestCall, StatusCode)] = [
            (front.call("nobody", input("x")), .notFound), (front.call("f@9", input("x")), .notFound),
            (front.call("f", input(String(repeating: "x", count: 101))), .resourceExhausted),
            (
                front.call("f", input("x"), headers: [("x-own", String(repeating: "y", count: 2_000))]),
                .resourceExhausted
            ),
        ]
        // One call waits, and the queue has no place for the next.
        let waiting = front.call("f", input("waits"))
        let full = front.call("f", input("x"))
        plane.gate.close()
        let late = front.call("f", input("x"))
        let all = expected + [(full, .resourceExhausted), (late, .unavailable)]
        for (call, code) in all {
            guard case .failure(let failure) = answer(call) else {
                Issue.record("no failure")
                continue
            }
            #expect(failure.code == code && failure.executed == .no)
        }
        #expect(outcomes.map(\.code) == all.map(\.1))
        #expect(outcomes.allSatisfy { $0.sent == nil && $0.executed == .no })
        #expect(outcomes.map(\.version) == [nil, nil, nil, nil, 3, nil])
        #expect(plane.gate.count == 1)
        waiting.cancel()
        #expect(plane.gate.count == 0 && outcomes.last?.code == .cancelled)
        #expect(outcomes.map(\.isAdmitted) == [false, false, false, false, false, false, true])
        #expect(route.takeEndedCalls() == 1 && route.endedCalls == 0)
    }

    /// Keeps the code of an answer.
    private final class Answer: InvocationResponder {
        let code = Mutex<StatusCode?>(nil)
        func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata) { code.withLock { $0 = .ok } }
        func fail(_ failure: CallFailure) { code.withLock { $0 = failure.code } }
    }

    @Test func aHandlersCallGoesOnWhileTheGateIsClosed() throws {
        let replica = FakeReplica(route, settings, at: .now)
        let context = InvocationContext(metadata: RequestMetadata(), isFromHandler: true)
        let (answer, refused, unreadable) = (Answer(), Answer(), Answer())
        plane.gate.close()
        plane.invoker.invoke("f", input("x"), context, answer)
        #expect(plane.gate.count == 0)
        reply(replica, try #require(replica.received().first).id, "y")
        plane.invoker.invoke("nobody", input("x"), context, refused)
        plane.invoker.refuse(.cancelled(executed: .no), function: "f", context, unreadable)
        #expect([answer, refused, unreadable].map { $0.code.withLock { $0 } } == [.ok, .notFound, .cancelled])
        #expect(outcomes.map(\.code) == [.ok, .notFound, .cancelled])
        #expect(plane.gate.count == 0)
    }

    @Test func aCallerMayLeave() throws {
        let replica = FakeReplica(route, settings, at: .now)
        let call = front.call("f", input("long"))
        let id = try #require(replica.received().first).id
        call.cancel()
        #expect(replica.received() == [FakeReplica.Word(kind: .cancel, id: id)])
        #expect(outcomes.map(\.executed) == [.maybe])
        // Its place is free once the replica answers, and no caller gets that answer.
        reply(replica, id, "late")
        #expect(outcomes.count == 1 && route.load.isIdle)
    }

    @Test func piecesComeWithCredit() throws {
        let replica = FakeReplica(route, settings, at: .now)
        let call = front.call("f", input("stream"), wantsPieces: true)
        let id = try #require(replica.received().first).id
        let (invocation, source) = (try #require(route.invocation(id, of: replica.slots)), Source())
        for text in ["ab", "c"] {
            Array(text.utf8).withUnsafeBytes { invocation.piece(InvocationOutput(borrowing: $0), from: source) }
        }
        invocation.end(ReplyMetadata())
        #expect(call.pieces == [Array("ab".utf8), Array("c".utf8)])
        #expect(source.taken.withLock { $0 } == [2, 1])
        #expect(outcomes.map(\.bytesOut) == [3])
    }

    /// A caller for whom two bytes at a time have room.
    private final class Narrow: InvocationResponder {
        let heard = Mutex<[String]>([])
        func takeRoom(for bytes: Int) -> CallFailure? { bytes > 2 ? .repliesNotTaken("room for 2 bytes") : nil }
        func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata) {
            heard.withLock { $0.append("reply") }
        }
        func piece(_ output: consuming InvocationOutput, from source: any PieceSource) {
            heard.withLock { $0.append("piece") }
        }
        func end(_ metadata: ReplyMetadata) { heard.withLock { $0.append("end") } }
        func fail(_ failure: CallFailure) { heard.withLock { $0.append("\(failure.code) \(failure.message)") } }
    }

    @Test func aReplyWithoutRoomAtTheFrontEndsAsThatFailure() throws {
        let replica = FakeReplica(route, settings, at: .now)
        let (whole, pieces) = (Narrow(), Narrow())
        plane.invoker.invoke("f", input("x"), InvocationContext(metadata: RequestMetadata()), whole)
        reply(replica, try #require(replica.received().first).id, "abc")
        plane.invoker.invoke(
            "f", input("y"), InvocationContext(metadata: RequestMetadata(), wantsPieces: true), pieces)
        let id = try #require(replica.received().first).id
        let (invocation, source) = (try #require(route.invocation(id, of: replica.slots)), Source())
        for text in ["ab", "abc", "a"] {
            Array(text.utf8).withUnsafeBytes { invocation.piece(InvocationOutput(borrowing: $0), from: source) }
        }
        invocation.end(ReplyMetadata())
        #expect(whole.heard.withLock { $0 } == ["resourceExhausted room for 2 bytes"])
        #expect(pieces.heard.withLock { $0 } == ["piece", "resourceExhausted room for 2 bytes"])
        let isCancelled = source.isCancelled.load(ordering: .relaxed)
        #expect(isCancelled)
        #expect(outcomes.map(\.code) == [.resourceExhausted, .resourceExhausted])
        #expect(outcomes.map(\.executed) == [.yes, .yes] && outcomes.map(\.bytesOut) == [0, 2])
        #expect(plane.gate.count == 0)
    }

    @Test func aReplicaThatIsLostEndsItsCalls() throws {
        let replica = FakeReplica(route, settings, at: .now)
        let call = front.call("f", input("x"))
        replica.detach()
        guard case .failure(let failure) = answer(call) else {
            throw CallFailure(.internal, executed: .no, "no failure")
        }
        #expect(failure.code == .unavailable && failure.executed == .maybe)
        #expect(outcomes.first?.sent != nil)
    }
}
