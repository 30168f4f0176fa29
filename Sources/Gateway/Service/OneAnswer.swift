internal import GRPC
internal import Locks

/// The end of a call, which several tasks may bring about: the first one does.
final class OneAnswer: Sendable {
    private let call: ServerCall
    private let isGiven = Lock(false)

    init(_ call: ServerCall) {
        self.call = call
    }

    func give(_ status: Status) async {
        let isFirst = isGiven.withLock { isGiven in
            defer { isGiven = true }
            return !isGiven
        }
        if isFirst { await call.finish(status) }
    }
}
