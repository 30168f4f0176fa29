import CLinux

/// What the loop and the guard's thread tell each other without a lock: whether a call runs and since when, and whether
/// the guard sleeps.
///
/// A handle: copies share the memory, which lives as long as the process.
struct HandlerActivity {
    private struct State {
        /// When the running call began, on MonotonicClock; 0 while none runs. Only one thread sets it.
        var busySinceNanos: Int64 = 0
        var isGuardAsleep: Int32 = 1
    }

    private let state = UnsafeMutablePointer<State>.allocate(capacity: 1)

    init() {
        state.initialize(to: State())
    }

    // MARK: - The loop's side

    /// A call begins. Wakes the guard, which reads the link if the call lasts.
    func begin(at nowNanos: Int64) {
        dcf_atomic_tell64(&state.pointee.busySinceNanos, nowNanos)
        wakeGuard()
    }

    /// The call has ended; none runs now.
    func end() {
        dcf_atomic_store64(&state.pointee.busySinceNanos, 0)
    }

    /// Wakes the guard because an answer waits, or a call runs.
    func wakeGuard() {
        guard dcf_atomic_load(&state.pointee.isGuardAsleep) != 0,
            dcf_atomic_exchange(&state.pointee.isGuardAsleep, 0) != 0
        else { return }
        LinkGuard.wake()
    }

    // MARK: - The guard's side

    /// When the running call began; 0 while none runs.
    var busySinceNanos: Int64 { dcf_atomic_load64(&state.pointee.busySinceNanos) }

    /// Says that the guard sleeps: from now on a thread that begins a call or leaves an answer wakes it. The guard must
    /// check once more after this.
    func guardSleeps() {
        dcf_atomic_tell(&state.pointee.isGuardAsleep, 1)
    }

    func guardIsAwake() {
        dcf_atomic_tell(&state.pointee.isGuardAsleep, 0)
    }
}
