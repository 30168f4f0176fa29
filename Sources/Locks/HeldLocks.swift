#if DEBUG
    internal import Glibc

    /// The locks that the calling thread holds: a bit for each place in the order.
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

        /// Before the lock is waited for, so that a wrong order traps also where it would end in a deadlock.
        @usableFromInline
        static func take(_ rank: LockRank) {
            let held = held
            precondition(held >> UInt(rank.rawValue) == 0, "lock \(rank) is taken while \(names(of: held)) is held")
            self.held = held | 1 << UInt(rank.rawValue)
        }

        @usableFromInline
        static func leave(_ rank: LockRank) {
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
