package import Calls
internal import Platform
internal import WatcherLink

extension CallFailure {
    /// The failure that the watcher reports for a call.
    ///
    /// - Parameter head: the head of an Error frame.
    package init(errorHead head: UnsafeRawBufferPointer) {
        do throws(LinkError) {
            let error = try ErrorHead(head: head)
            self.init(
                StatusCode(rawValue: UInt32(error.code)) ?? .unknown, executed: Executed(error.executed), error.message,
                metadata: error.metadata.isEmpty
                    ? ReplyMetadata() : ReplyMetadata(head: head, from: ErrorHead.metadataOffset(in: head)))
        } catch {
            self.init(.internal, executed: .maybe, "the watcher's answer does not parse: \(error)")
        }
    }
}

extension CallFailure.Executed {
    init(_ executed: ErrorHead.Executed) {
        switch executed {
        case .no: self = .no
        case .maybe: self = .maybe
        case .yes: self = .yes
        }
    }
}

extension ErrorHead.Executed {
    init(_ executed: CallFailure.Executed) {
        switch executed {
        case .no: self = .no
        case .maybe: self = .maybe
        case .yes: self = .yes
        }
    }
}
