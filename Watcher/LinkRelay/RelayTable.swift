package import WatcherLink

/// Decides where each frame goes between one watcher and several gateways. Each gateway sees the watcher as its own.
///
/// Two gateways may use the same id for different calls, so the table gives each call a new id for the watcher. The
/// watcher itself chooses the ids of the calls that its handler makes, and each of these goes to one gateway. The table
/// does no input or output: it takes a frame and returns the actions to perform.
package struct RelayTable {
    /// What the relay must do with a frame.
    package enum Action: Equatable {
        case toWatcher([UInt8])
        case toGateway(Int, [UInt8])
        /// End the watcher at once.
        case stop
    }

    /// A call as its gateway knows it.
    private struct Origin {
        var gateway: Int
        var id: UInt64
    }

    /// A batch with calls that have not come yet. The watcher gets the whole batch at once, so that no other frame
    /// comes between its calls.
    private struct Batch {
        var missing: Int
        var frames: [UInt8]
    }

    /// The calls by the watcher's id.
    private var origins: [UInt64: Origin] = [:]
    /// The watcher's ids, by gateway and by the gateway's id.
    private var ids: [Int: [UInt64: UInt64]] = [:]
    private var lastID: UInt64 = 0
    private var batches: [Int: Batch] = [:]
    /// The gateway of each call that the handler makes, by the watcher's id.
    private var callsOut: [UInt64: Int] = [:]
    /// The gateways that wait for Returned, oldest first; nil for a gateway whose link has ended.
    private var recalls: [Int?] = []
    /// The watcher's Ready or Failed, once it has come.
    private var verdict: [UInt8]?
    /// The watcher's last Pace.
    private var pace: [UInt8]?
    private var isLeaving = false

    package init() {}

    /// The gateways that have a link.
    package var gateways: [Int] { ids.keys.sorted() }

    // MARK: Gateways

    /// A gateway has a link now.
    package mutating func join(_ gateway: Int) -> [Action] {
        ids[gateway] = [:]
        let frames = [verdict, pace, isLeaving ? Self.leaving : nil]
        return frames.compactMap { $0.map { .toGateway(gateway, $0) } }
    }

    /// The link to a gateway has ended: cancels its calls, and answers the handler's calls that it had.
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

    /// The watcher takes no more calls: a gateway drains it, or it leaves by itself.
    package mutating func leave() -> [Action] {
        guard !isLeaving else { return [] }
        isLeaving = true
        return gateways.map { .toGateway($0, Self.leaving) }
    }

    // MARK: From a gateway

    /// Handles a frame from a gateway.
    package mutating func handle(_ frame: [UInt8], from gateway: Int) throws(LinkError) -> [Action] {
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

    /// Handles a frame from the watcher.
    package mutating func handle(_ frame: [UInt8]) throws(LinkError) -> [Action] {
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
        case .pace:
            pace = frame
            return gateways.map { .toGateway($0, frame) }
        default: throw .unexpected(kind, "came out of turn")
        }
    }

    private mutating func forget(_ id: UInt64) -> Origin? {
        guard let origin = origins.removeValue(forKey: id) else { return nil }
        ids[origin.gateway]?[origin.id] = nil
        return origin
    }

    /// A watcher gives back the calls of all gateways. Each gateway gets its own calls back. The gateway that sent the
    /// Recall gets a Returned even if none of the calls is its own.
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

    /// A call that the handler makes goes to the gateway of the call that the handler works on.
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

    // MARK: Frames that the relay itself makes

    private static let leaving = FrameHeader.frame(.leaving, flags: .optional)

    private static func lostAnswer(_ id: UInt64, _ executed: ErrorHead.Executed) -> [UInt8] {
        let head = CallReplyHead(code: .unavailable, executed: executed, message: "the gateway went away")
        return FrameHeader.frame(.callReply, id: id, head: head.head)
    }
}
