import CLinux

/// What the guard's thread must know of the loop without a lock: whether a call runs, and since when; and what the loop
/// must know of the guard: whether it sleeps.
///
/// A handle: copies share the memory, which lives as long as the process.
struct HandlerActivity {
    private struct State {
        /// When the running call began, on MonotonicClock; 0 while none runs. Told by one thread only.
        var busySinceNanos: Int64 = 0
        var isGuardAsleep: Int32 = 1
    }

    private let state = UnsafeMutablePointer<State>.allocate(capacity: 1)

    init() {
        state.initialize(to: State())
    }

    // MARK: - The loop's side

    /// A call begins. The guard must know: should it last, the guard reads the link.
    func begin(at nowNanos: Int64) {
        dcf_atomic_tell64(&state.pointee.busySinceNanos, nowNanos)
        wakeGuard()
    }

    /// No call runs any more.
    func end() {
        dcf_atomic_store64(&state.pointee.busySinceNanos, 0)
    }

    /// Something waits that the guard must look after.
    func wakeGuard() {
        guard dcf_atomic_load(&state.pointee.isGuardAsleep) != 0,
            dcf_atomic_exchange(&state.pointee.isGuardAsleep, 0) != 0
        else { return }
        LinkGuard.wake()
    }

    // MARK: - The guard's side

    /// When the running call began; 0 while none runs.
    var busySinceNanos: Int64 { dcf_atomic_load64(&state.pointee.busySinceNanos) }

    /// From now on whoever begins a call or leaves something behind wakes the guard; it must look once more after this.
    func guardSleeps() {
        dcf_atomic_tell(&state.pointee.isGuardAsleep, 1)
    }

    func guardIsAwake() {
        dcf_atomic_tell(&state.pointee.isGuardAsleep, 0)
    }
}
