import CLinux
import Glibc

/// Blocks until a process has ended. A zombie counts as ended.
///
/// - Parameter process: the number of a process, which need not be a child.
package func waitForEnd(of process: Int32) {
    let descriptor = dcf_pidfd_open(process)
    // There is no such process any more.
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while poll(&wait, 1, -1) < 0, errno == EINTR {}
}
