/// The status codes (https://grpc.io/docs/guides/status-codes/) that a watcher or a relay itself gives to a call, by
/// their numbers on the link.
///
/// A handler may choose any code from 1 to 16. So the field of a frame is a plain number, and these are its names.
package enum LinkStatusCode: UInt8, Sendable {
    case cancelled = 1
    case unknown = 2
    case deadlineExceeded = 4
    case resourceExhausted = 8
    case `internal` = 13
    case unavailable = 14
}

extension ErrorHead {
    package init(code: LinkStatusCode, executed: Executed, message: String) {
        self.init(code: code.rawValue, executed: executed, message: message)
    }
}

extension CallReplyHead {
    package init(code: LinkStatusCode, executed: ErrorHead.Executed, message: String) {
        self.init(code: code.rawValue, executed: executed, message: message)
    }
}
