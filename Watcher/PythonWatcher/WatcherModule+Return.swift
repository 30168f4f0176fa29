import CLinux
import CPython
import Glibc
import WatcherLink

/// Functions for a replica that has lost its gateway and dials the next one, with its handler as it is.
extension WatcherModule {
    /// `may_return(seconds)`: from now on the process goes on for so many seconds without a gateway.
    static func mayReturn(_ seconds: PythonObject?) -> PythonObject? {
        guard let seconds else { return nil }
        let count = PyLong_AsLong(seconds)
        guard PyErr_Occurred() == nil else { return nil }
        WatcherState.returnSeconds = Int32(clamping: count)
        return Python.none()
    }

    /// `is_lost() -> bool`: whether serving ended because the gateway went away.
    static func isLost() -> PythonObject? {
        PyBool_FromLong(WatcherState.isLost && WatcherState.isDraining == 0 ? 1 : 0)
    }

    /// `reconnect(path, token, python_version) -> bool`: dials the gateway; false if none answers. The guard's thread
    /// ends the process when there has been no gateway for too long.
    ///
    /// The old descriptor stays open: a thread that still works on a call of the old gateway may write to its number.
    static func reconnect(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let path = Python.text(of: PyTuple_GetItem(arguments, 0)),
            let token = Python.text(of: PyTuple_GetItem(arguments, 1)),
            let version = Python.text(of: PyTuple_GetItem(arguments, 2))
        else { return nil }
        do throws(WatcherError) {
            let socket = try LinkSocket(path: path)
            do throws(WatcherError) {
                _ = try Handshake(socket: socket).greet(token: token, task: "", pythonVersion: version)
            } catch {
                close(socket.descriptor)
                throw error
            }
            try LinkGuard.change(to: socket.descriptor)
            WatcherState.descriptor = socket.descriptor
            WatcherState.isLost = false
            return PyBool_FromLong(1)
        } catch .unreachable {
        } catch .ended {
        } catch {
            return attempt { () throws(WatcherError) in throw error }
        }
        return PyBool_FromLong(0)
    }
}
