package import WatcherLink

/// Which frame goes where: one watcher, several gateways, each of which believes the watcher its own.
///
/// Calls of different gateways may have the same id, so the watcher gets ids of the table's. What the handler calls has ids of
/// the watcher's, which no gateway has to share. Nothing here waits or speaks: it takes a frame and says what comes of it.
package struct RelayTable {
    /// What comes of a frame.
    package enum Action: Equatable {
        case toWatcher([UInt8])
        case toGateway(Int, [UInt8])
        /// The watcher ends at once.
        case stop
    }

    /// A call of a gateway's.
    private struct Origin {
        var gateway: Int
        var id: UInt64
    }

    /// A list of calls that has not come whole: the watcher gets it at one go, as nothing may come between.
    private struct Batch {
        var missing: Int
        var frames: [UInt8]
    }

    /// By the id that the watcher knows.
    private var origins: [UInt64: Origin] = [:]
    /// The ids that the watcher knows, by gateway and that one's id.
    private var ids: [Int: [UInt64: UInt64]] = [:]
    private var lastID: UInt64 = 0
    private var batches: [Int: Batch] = [:]
    /// Whom a handler's own calls went to.
    private var callsOut: [UInt64: Int] = [:]
    /// Who waits for Returned, the first first; nil for one that has left.
    private var recalls: [Int?] = []
    /// Ready or Failed, once the watcher has said it.
    private var verdict: [UInt8]?
    private var isLeaving = false

    package init() {}

    /// The gateways that are linked.
    package var gateways: [Int] { ids.keys.sorted() }

    // MARK: Gateways

    /// A gateway is there, or there again.
    package mutating func join(_ gateway: Int) -> [Action] {
        ids[gateway] = [:]
        let words = [verdict, isLeaving ? Self.leaving : nil]
        return words.compactMap { $0.map { .toGateway(gateway, $0) } }
    }

    /// A gateway is gone. Nobody waits for its calls.
    package mutating func lose(_ gateway: Int) -> [Action] {
        var actions: [Action] = []
        for id in (ids.removeValue(forKey: gateway) ?? [:]).values.sorted() {
            origins[id] = nil
            actions.append(.toWatcher(FrameHeader.frame(.cancel, flags: .optional, id: id)))
        }
        batches[gateway] = nil
        recalls = recalls.map { $0 == gateway ? nil : $0 }
        for id in callsOut.filter({ $0.value == gateway }).keys.sorted() {
            callsOut[id] = nil
            actions.append(.toWatcher(Self.lostAnswer(id, .maybe)))
        }
        return actions
    }

    /// The watcher was told to end, by whomever: it takes no more calls.
    package mutating func leave() -> [Action] {
        guard !isLeaving else { return [] }
        isLeaving = true
        return gateways.map { .toGateway($0, Self.leaving) }
    }

    // MARK: From a gateway

    package mutating func take(_ frame: [UInt8], from gateway: Int) throws(LinkError) -> [Action] {
        let header = Frame.header(of: frame)
        guard let kind = FrameKind(rawValue: header.kind) else {
            guard header.flags.contains(.optional) else { throw .unknownKind(header.kind) }
            return []
        }
        switch kind {
        case .call: return call(frame, header, gateway)
        case .batch: return try batch(frame, header, gateway)
        case .cancel, .credit:
            guard let id = ids[gateway]?[header.id] else { return [] }
            return [.toWatcher(Frame.renamed(frame, to: id))]
        case .recall:
            recalls.append(gateway)
            return [.toWatcher(frame)]
        case .callReply:
            guard callsOut[header.id] == gateway else { return [] }
            callsOut[header.id] = nil
            return [.toWatcher(frame)]
        case .drain:
            let others = leave().filter {
                if case .toGateway(gateway, _) = $0 { false } else { true }
            }
            return others + [.toWatcher(frame)]
        case .stop: return [.stop]
        case .stacks: return [.toWatcher(frame)]
        default: throw .unexpected(kind, "came out of turn")
        }
    }

    private mutating func call(_ frame: [UInt8], _ header: FrameHeader, _ gateway: Int) -> [Action] {
        guard !isLeaving else {
            return [.toGateway(gateway, FrameHeader.frame(.returned, head: Returned(calls: [header.id]).head))]
        }
        lastID += 1
        origins[lastID] = Origin(gateway: gateway, id: header.id)
        ids[gateway, default: [:]][header.id] = lastID
        let renamed = Frame.renamed(frame, to: lastID)
        guard var batch = batches[gateway] else { return [.toWatcher(renamed)] }
        batch.frames += renamed
        batch.missing -= 1
        batches[gateway] = batch.missing > 0 ? batch : nil
        return batch.missing > 0 ? [] : [.toWatcher(batch.frames)]
    }

    private mutating func batch(_ frame: [UInt8], _ header: FrameHeader, _ gateway: Int) throws(LinkError) -> [Action] {
        guard !isLeaving else { return [] }
        let count = try Frame.withHead(of: frame) { (head) throws(LinkError) in try BatchHead(head: head).count }
        batches[gateway] = Batch(missing: Int(count), frames: frame)
        return []
    }

    // MARK: From the watcher

    package mutating func take(_ frame: [UInt8]) throws(LinkError) -> [Action] {
        let header = Frame.header(of: frame)
        guard let kind = FrameKind(rawValue: header.kind) else {
            guard header.flags.contains(.optional) else { throw .unknownKind(header.kind) }
            return []
        }
        switch kind {
        case .ready, .failed:
            verdict = frame
            return gateways.map { .toGateway($0, frame) }
        case .piece:
            guard let origin = origins[header.id] else { return [] }
            return [.toGateway(origin.gateway, Frame.renamed(frame, to: origin.id))]
        case .reply, .error, .end:
            guard let origin = forget(header.id) else { return [] }
            return [.toGateway(origin.gateway, Frame.renamed(frame, to: origin.id))]
        case .returned: return try returned(frame)
        case .callOut: return try callOut(frame, header)
        case .cancel:
            guard let gateway = callsOut.removeValue(forKey: header.id) else { return [] }
            return [.toGateway(gateway, frame)]
        case .leaving: return leave()
        default: throw .unexpected(kind, "came out of turn")
        }
    }

    private mutating func forget(_ id: UInt64) -> Origin? {
        guard let origin = origins.removeValue(forKey: id) else { return nil }
        ids[origin.gateway]?[origin.id] = nil
        return origin
    }

    /// A watcher gives all back, whoever asked: each gateway gets its own, and who asked an answer in any case.
    private mutating func returned(_ frame: [UInt8]) throws(LinkError) -> [Action] {
        var own: [Int: [UInt64]] = [:]
        let asked = recalls.isEmpty ? nil : recalls.removeFirst()
        if let asked { own[asked] = [] }
        for id in try Frame.withHead(of: frame, { (head) throws(LinkError) in try Returned(head: head).calls }) {
            if let origin = forget(id) { own[origin.gateway, default: []].append(origin.id) }
        }
        return own.sorted { $0.key < $1.key }.map { gateway, calls in
            .toGateway(gateway, FrameHeader.frame(.returned, head: Returned(calls: calls).head))
        }
    }

    /// A handler's own call goes to the gateway whose call it works on.
    private mutating func callOut(_ frame: [UInt8], _ header: FrameHeader) throws(LinkError) -> [Action] {
        let parent = try Frame.withHead(of: frame) { (head) throws(LinkError) in
            var reader = HeadReader(kind: .callOut, bytes: head)
            return try reader.read(UInt64.self)
        }
        let origin = origins[parent]
        guard let gateway = origin?.gateway ?? gateways.first else {
            return [.toWatcher(Self.lostAnswer(header.id, .no))]
        }
        callsOut[header.id] = gateway
        return [.toGateway(gateway, Frame.withParent(frame, origin?.id ?? 0))]
    }

    // MARK: Frames of its own

    private static let leaving = FrameHeader.frame(.leaving, flags: .optional)

    private static func lostAnswer(_ id: UInt64, _ executed: ErrorHead.Executed) -> [UInt8] {
        let head = CallReplyHead(code: 14, executed: executed, message: "the gateway went away")
        return FrameHeader.frame(.callReply, id: id, head: head.head)
    }
}
