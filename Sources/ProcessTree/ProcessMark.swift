import CLinux
import Glibc

/// A number that a process carries, and that all that comes from it carries too: through fork and exec, in another group,
/// another session, with another parent and another environment.
///
/// It is the soft limit of file locks (RLIMIT_LOCKS), which Linux keeps, hands on and shows to processes of the same user, and
/// which has had no effect since 2.4.25. So it needs no rights, no process that stays, and one call of the system to be read.
package struct ProcessMark: Hashable, Sendable {
    /// Whose it is: one number for all that one gateway starts. Never 0, and below 2 to the 31st.
    package let family: UInt32
    /// Which tree of that family.
    package let number: UInt32

    package init(family: UInt32, number: UInt32) {
        self.family = family
        self.number = number
    }

    /// Nil for what is a plain limit.
    package init?(rawValue: UInt64) {
        let family = UInt32(truncatingIfNeeded: rawValue >> 32)
        guard family != 0, family < 1 << 31 else { return nil }
        self.init(family: family, number: UInt32(truncatingIfNeeded: rawValue))
    }

    package var rawValue: UInt64 { UInt64(family) << 32 | UInt64(number) }

    /// A family that no other process on this machine has.
    package static func newFamily() -> UInt32 { UInt32.random(in: 1..<1 << 31) }

    /// - Parameter pid: 0 is this process.
    /// - Returns: nil for one that has none, has ended, or is another user's.
    package static func of(_ pid: Int32) -> ProcessMark? { ProcessMark(rawValue: dcf_mark_of(pid)) }

    /// Puts it on a process, and so on all that this starts from now on.
    ///
    /// - Parameter pid: 0 is this process.
    /// - Returns: whether it has it now.
    @discardableResult
    package func put(on pid: Int32) -> Bool { dcf_set_mark(pid, rawValue) == 0 }
}
