import CLinux
import CPython
import Glibc

/// The news that the event loop gets when it looks. It is collected under the inbox's lock; no Python object that the
/// garbage collector tracks may be made there, because a collection may run the handler's code.
struct LoopNews {
    private var work: [[UnsafeMutablePointer<RequestObject>]] = []
    private var answers: [OutgoingCall] = []
    private var hasCancels = false
    private var hasCredit = false
    private var isDrained = true

    /// Collects the news. Under the inbox's lock.
    ///
    /// - Parameter free: how many calls, or batches, may begin.
    mutating func collect(from inbox: LinkInbox, free: Int, inBatches: Bool) throws(WatcherError) {
        if let failure = inbox.state.pointee.failure { throw failure }
        var value: eventfd_t = 0
        if inbox.state.pointee.isLoopTold { eventfd_read(inbox.state.pointee.loopEvent, &value) }
        inbox.state.pointee.isLoopTold = false
        let now = MonotonicClock.nowNanos()
        while work.count < free {
            let requests = try inBatches ? inbox.takeBatch(at: now) : inbox.takeRequest(at: now).map { [$0] } ?? []
            if requests.isEmpty { break }
            work.append(requests)
        }
        while let index = inbox.state.pointee.outgoing.firstIndex(where: { $0.isForLoop && $0.answer != nil }) {
            answers.append(inbox.state.pointee.outgoing.remove(at: index))
        }
        hasCancels = inbox.state.pointee.hasCancels
        hasCredit = inbox.state.pointee.hasCredit
        inbox.state.pointee.hasCancels = false
        inbox.state.pointee.hasCredit = false
        isDrained = inbox.state.pointee.isDraining && inbox.state.pointee.calls.count == 0
    }

    /// `(work, has_cancels, has_credit, answers, is_drained)`, where `work` is a list of requests, or of lists of them.
    ///
    /// - Returns: a new reference; nil with an exception set.
    func tuple(inBatches: Bool) -> PythonObject? {
        defer { release() }
        guard let tuple = PyTuple_New(5), let works = PyList_New(0), let replies = PyList_New(0) else { return nil }
        PyTuple_SetItem(tuple, 0, works)
        PyTuple_SetItem(tuple, 1, PyBool_FromLong(hasCancels ? 1 : 0))
        PyTuple_SetItem(tuple, 2, PyBool_FromLong(hasCredit ? 1 : 0))
        PyTuple_SetItem(tuple, 3, replies)
        PyTuple_SetItem(tuple, 4, PyBool_FromLong(isDrained ? 1 : 0))
        for requests in work {
            guard let object = inBatches ? Self.list(requests) : requests.first?.object else { return nil }
            PyList_Append(works, object)
            if inBatches { Py_DecRef(object) }
        }
        for call in answers {
            guard let record = call.answer, let answer = try? OutgoingAnswer(record).tuple(id: call.id) else {
                continue
            }
            PyList_Append(replies, answer)
            Py_DecRef(answer)
        }
        return tuple
    }

    /// A new list with its own references to the requests.
    private static func list(_ requests: [UnsafeMutablePointer<RequestObject>]) -> PythonObject? {
        guard let list = PyList_New(requests.count) else { return nil }
        for (index, request) in requests.enumerated() {
            Py_IncRef(request.object)
            PyList_SetItem(list, index, request.object)
        }
        return list
    }

    func release() {
        for call in answers { call.answer?.release() }
    }
}
