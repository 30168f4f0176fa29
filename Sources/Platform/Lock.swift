#if DEBUG
    internal import Glibc
#endif
public import Synchronization

/// A mutex with a place in the order of the daemon's locks (docs/architecture.md, "Locks").
///
/// Debug builds trap when a thread takes a lock out of order. They also trap when `assertNoLockIsHeld` finds that a
/// lock is held. Release builds contain nothing but the mutex: the public functions are inlined into their callers, and
/// become the code of the mutex.
///
/// A value that holds a closure must be a struct. If the value were a closure, or an optional closure, each access
/// would wrap it in one more closure: memory would grow, and each call would go through all of them.
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

    /// Runs `body` with the lock held. `body` must not call foreign code: see `assertNoLockIsHeld`.
    @inlinable @inline(__always)
    public borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        #if DEBUG
            HeldLocks.acquire(rank)
            defer { HeldLocks.release(rank) }
        #endif
        return try mutex.withLock(body)
    }
}

/// Traps in debug builds if the thread holds a lock. Release builds contain nothing of it.
///
/// Call it wherever foreign code is called: before a continuation is resumed, a stream gets an element or ends, an
/// observer or a callback is called, a line is logged, an engine is asked, or the gRPC core is asked to do something.
/// Such code may take its own lock while the holder of that lock waits for one of the daemon's. So none of the daemon's
/// locks may be held.
@inlinable @inline(__always)
public func assertNoLockIsHeld() {
    #if DEBUG
        HeldLocks.assertNone()
    #endif
}

/// The places in the order of locks. A lock may be taken only if it comes after all locks that the thread holds. Two
/// locks of the same place are never held together.
public enum LockRank: UInt8, Sendable {
    /// A version of a function.
    case deployedVersion
    /// The replicas of a version.
    case replicaSet
    /// One replica.
    case replica
    /// The queue of a version's calls.
    case functionRoute
    /// The templates that are wanted.
    case templatePool
    /// A template's messages, while one thread reads them.
    case templateReports
    /// One template.
    case templateProcess
    /// The services of a Swarm.
    case swarmHost
    /// A log's files. It is held while they are written or opened, for as long as the disk takes.
    case logFiles
    /// Every other lock. No lock may be taken while it is held.
    case leaf
}

#if DEBUG
    /// The locks that the calling thread holds: one bit for each place in the order.
    @usableFromInline
    enum HeldLocks {
        private static let key: pthread_key_t = {
            var key = pthread_key_t()
            precondition(pthread_key_create(&key, nil) == 0, "no key for the locks that a thread holds")
            return key
        }()

        private static var held: UInt {
            get { UInt(bitPattern: pthread_getspecific(key)) }
            set { pthread_setspecific(key, UnsafeRawPointer(bitPattern: newValue)) }
        }

        /// Notes a lock before the thread waits for it, so that a wrong order traps instead of a deadlock.
        @usableFromInline
        static func acquire(_ rank: LockRank) {
            let held = held
            precondition(held >> UInt(rank.rawValue) == 0, "lock \(rank) is taken while \(names(of: held)) is held")
            self.held = held | 1 << UInt(rank.rawValue)
        }

        @usableFromInline
        static func release(_ rank: LockRank) {
            held &= ~(1 << UInt(rank.rawValue))
        }

        @usableFromInline
        static func assertNone() {
            precondition(held == 0, "something foreign is called while \(names(of: held)) is held")
        }

        private static func names(of held: UInt) -> String {
            (0..<UInt8(UInt.bitWidth)).filter { held >> UInt($0) & 1 == 1 }
                .map { LockRank(rawValue: $0).map { "lock \($0)" } ?? "?" }.joined(separator: ", ")
        }
    }
#endif
