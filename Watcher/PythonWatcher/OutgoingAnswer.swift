import CPython
import WatcherLink

/// The answer of another function.
struct OutgoingAnswer {
    let head: CallReplyHead
    let payload: UnsafeRawBufferPointer

    /// - Parameter payload: must outlive the value.
    init(head: CallReplyHead, payload: UnsafeRawBufferPointer) {
        self.head = head
        self.payload = payload
    }

    /// - Parameter record: must outlive the value.
    init(_ record: UnsafeMutablePointer<CallRecord>) throws(WatcherError) {
        do throws(LinkError) {
            head = try CallReplyHead(head: record.head)
        } catch {
            throw .link(error.description)
        }
        payload = record.payload
    }

    /// `(id, code, message, payload)`: two ints, a str and a bytes; a new reference, nil with an exception set.
    func tuple(id: UInt64) -> PythonObject? {
        let values = [
            PyLong_FromLong(Int(clamping: id)), PyLong_FromLong(Int(head.code)),
            Array(head.message.utf8).withUnsafeBytes { Python.string($0) },
            PyBytes_FromStringAndSize(payload.baseAddress?.assumingMemoryBound(to: CChar.self), payload.count),
        ]
        guard let tuple = PyTuple_New(values.count) else { return nil }
        for (index, value) in values.enumerated() {
            guard let value else {
                Py_DecRef(tuple)
                return nil
            }
            PyTuple_SetItem(tuple, index, value)
        }
        return tuple
    }
}
