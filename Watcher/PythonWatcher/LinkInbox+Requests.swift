import CPython
import Glibc
import WatcherLink

/// Requests for the handler, made under the GIL and the lock.
extension LinkInbox {
    typealias Request = UnsafeMutablePointer<RequestObject>

    /// Takes the next call that has come and not expired, as a request that runs from now on; nil when there is none.
    ///
    /// - Returns: a new reference.
    func takeRequest(at nowNanos: Int64) throws(WatcherError) -> Request? {
        while let record = takeReady() {
            defer { record.release() }
            if let request = try begin(record, at: nowNanos) { return request }
        }
        return nil
    }

    /// The same for a batch, or for a call alone as a batch of one; empty when there is none.
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
            refuse(record.pointee.id, code: 4, "the deadline passed before the call began")
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

    /// The call is answered, or never will be.
    func finish(_ request: Request) {
        state.pointee.running.remove(request)
    }

    /// The same, and gives up the reference of the running calls. With the GIL, without the lock.
    func release(_ request: Request) {
        withLock { finish(request) }
        Py_DecRef(request.object)
    }
}
