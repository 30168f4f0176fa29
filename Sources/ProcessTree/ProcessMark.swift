import CLinux
import Glibc

/// A number that a process and all its descendants carry: through fork and exec, in another group, another session,
/// with another parent and another environment.
///
/// It is the soft limit of file locks (RLIMIT_LOCKS). Linux keeps that limit, passes it on to children and shows it to
/// processes of the same user, but it has had no effect since 2.4.25. So a mark needs no privileges and no extra
/// process, and one system call reads it.
package struct ProcessMark: Hashable, Sendable {
    /// One number for all processes that one gateway starts. Never 0, and below 2 to the 31st.
    package let family: UInt32
    /// The tree within the family.
    package let number: UInt32

    package init(family: UInt32, number: UInt32) {
        self.family = family
        self.number = number
    }

    /// Nil if the number is an ordinary limit.
    package init?(rawValue: UInt64) {
        let family = UInt32(truncatingIfNeeded: rawValue >> 32)
        guard family != 0, family < 1 << 31 else { return nil }
        self.init(family: family, number: UInt32(truncatingIfNeeded: rawValue))
    }

    package var rawValue: UInt64 { UInt64(family) << 32 | UInt64(number) }

    /// A family that no other process on this machine has.
    package static func newFamily() -> UInt32 { UInt32.random(in: 1..<1 << 31) }

    /// - Parameter pid: 0 is this process.
    /// - Returns: nil if the process has no mark, has ended, or belongs to another user.
    package static func of(_ pid: Int32) -> ProcessMark? { ProcessMark(rawValue: dcf_mark_of(pid)) }

    /// Marks a process, and with it every process that it starts from now on.
    ///
    /// - Parameter pid: 0 is this process.
    /// - Returns: whether the process carries the mark now.
    @discardableResult
    package func put(on pid: Int32) -> Bool { dcf_set_mark(pid, rawValue) == 0 }
}
