import CLinux
import Glibc

/// Blocks until a process has ended. A zombie counts as ended.
///
/// - Parameter process: the number of a process, which need not be a child.
package func waitForEnd(of process: Int32) {
    let descriptor = dcf_pidfd_open(process)
    guard descriptor >= 0 else {
        precondition(errno == ESRCH, "pidfd_open of \(process): errno \(errno)")
        return
    }
    defer { close(descriptor) }
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while poll(&wait, 1, -1) < 0, errno == EINTR {}
}
