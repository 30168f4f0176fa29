import Synchronization

/// A truth value that is set once, and the tasks that wait for it.
final class Promised: Sendable {
    private let state = Mutex<(value: Bool?, waiting: [CheckedContinuation<Bool, Never>])>((nil, []))

    func settle(_ value: Bool) {
        let waiting = state.withLock { state in
            guard state.value == nil else { return [CheckedContinuation<Bool, Never>]() }
            state.value = value
            defer { state.waiting = [] }
            return state.waiting
        }
        for one in waiting { one.resume(returning: value) }
    }

    var value: Bool {
        get async {
            await withCheckedContinuation { continuation in
                let value = state.withLock { state in
                    if state.value == nil { state.waiting.append(continuation) }
                    return state.value
                }
                if let value { continuation.resume(returning: value) }
            }
        }
    }
}
