import CPython
import Glibc
import WatcherLink

/// Makes the requests for the handler, under the GIL and the lock.
extension LinkInbox {
    typealias Request = UnsafeMutablePointer<RequestObject>

    /// Takes the next waiting call that has not expired; it runs from now on.
    ///
    /// - Returns: a new reference to its request; nil when no call waits.
    func takeRequest(at nowNanos: Int64) throws(WatcherError) -> Request? {
        while let record = takeReady() {
            defer { record.release() }
            if let request = try begin(record, at: nowNanos) { return request }
        }
        return nil
    }

    /// Takes the next waiting batch, or a single call as a batch of one; its calls run from now on.
    ///
    /// - Returns: new references to the requests; empty when no call waits.
    func takeBatch(at nowNanos: Int64) throws(WatcherError) -> [Request] {
        while let record = takeReady() {
            var requests: [Request] = []
            for record in [record] + takeRest(of: record) {
                defer { record.release() }
                if let request = try begin(record, at: nowNanos) { requests.append(request) }
            }
            if !requests.isEmpty { return requests }
        }
        return []
    }

    private func begin(_ record: Record, at nowNanos: Int64) throws(WatcherError) -> Request? {
        if record.pointee.deadlineNanos != 0 && record.pointee.deadlineNanos <= nowNanos {
            refuseExpired(record.pointee.id)
            return nil
        }
        let payload = record.payload
        guard let request = RequestType.make(),
            let input = PyBytes_FromStringAndSize(
                payload.baseAddress?.assumingMemoryBound(to: CChar.self), payload.count)
        else { throw .python }
        request.pointee.input = input
        request.pointee.callID = record.pointee.id
        request.pointee.deadlineNanos = record.pointee.deadlineNanos
        request.pointee.wantsPieces = record.pointee.flags.contains(.stream)
        request.pointee.credit = Int64(Credit.initialBytes)
        request.keep(head: UnsafeRawBufferPointer(rebasing: record.head[8...]))
        state.pointee.running.insert(request)
        return request
    }

    /// The call no longer runs: it is answered, or never will be. Under the lock.
    func finish(_ request: Request) {
        state.pointee.running.remove(request)
    }

    /// Finishes the call, and gives up the reference of the running calls. With the GIL, without the lock.
    func release(_ request: Request) {
        withLock { finish(request) }
        Py_DecRef(request.object)
    }
}
