public import Synchronization

/// A mutex with a place in the order of the daemon's locks (docs/architecture.md, "Locks").
///
/// Debug builds hold whoever uses it to the order: taking a lock while one is held that is not before it traps, and so does
/// `assertNoLockIsHeld` while any is held. Release builds have the plain mutex and nothing else: what is public is compiled into
/// whoever uses it, to the very code of the mutex.
///
/// A closure belongs into a struct that is the value. One that is the value itself, or an optional that is, would be wrapped in one
/// more closure at each access: memory grows, and each call goes through all of them.
public struct Lock<Value: ~Copyable>: ~Copyable, Sendable {
    @usableFromInline let mutex: Mutex<Value>
    #if DEBUG
        @usableFromInline let rank: LockRank
    #endif

    @inlinable @inline(__always)
    public init(_ value: consuming sending Value, _ rank: LockRank = .leaf) {
        mutex = Mutex(value)
        #if DEBUG
            self.rank = rank
        #endif
    }

    /// Runs `body` with the lock held. It must not call anything foreign: see `assertNoLockIsHeld`.
    @inlinable @inline(__always)
    public borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        #if DEBUG
            HeldLocks.take(rank)
            defer { HeldLocks.leave(rank) }
        #endif
        return try mutex.withLock(body)
    }
}

/// To be called where something foreign is: a continuation is resumed, a stream gets an element or ends, an observer or a callback
/// is told, a line is logged, an engine is asked, the gRPC core is asked to do something. Any of them may take a lock of its own whose
/// holder waits for one of ours, so none of ours may be held. Debug builds trap where one is; release builds have nothing of it.
@inlinable @inline(__always)
public func assertNoLockIsHeld() {
    #if DEBUG
        HeldLocks.assertNone()
    #endif
}
