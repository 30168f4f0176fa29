import CPython
import Glibc
import WatcherLink

/// The module's functions. Arguments are borrowed; a result is a new reference, or nil with an exception set.
extension WatcherModule {
    /// `source(name) -> bytes`: the text of a module of the Python runtime, or None.
    static func source(_ name: PythonObject?) -> PythonObject? {
        guard let name = Python.text(of: name) else { return nil }
        guard let text = RuntimeSources.text(of: name) else { return Python.none() }
        return Python.bytes(text)
    }

    /// `connect(path, descriptor, token, task, python_version, gateway_pid) -> bytes`: connects to the gateway, and
    /// returns the function's settings as JSON.
    ///
    /// With the descriptor -1 it dials the unix socket at `path`. Otherwise it takes over that connection: to a relay
    /// on this machine if the path is `fd:`, else to a gateway over TCP.
    static func connect(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let path = Python.text(of: PyTuple_GetItem(arguments, 0)),
            let descriptor = PyTuple_GetItem(arguments, 1),
            let token = Python.text(of: PyTuple_GetItem(arguments, 2)),
            let task = Python.text(of: PyTuple_GetItem(arguments, 3)),
            let version = Python.text(of: PyTuple_GetItem(arguments, 4))
        else { return nil }
        let gateway = Int32(clamping: PyTuple_GetItem(arguments, 5).map { PyLong_AsLong($0) } ?? 0)
        let open = Int32(clamping: PyLong_AsLong(descriptor))
        let isRemote = open >= 0 && path != "fd:"
        do throws(WatcherError) {
            let socket =
                isRemote
                ? LinkSocket(remote: open) : open >= 0 ? LinkSocket(inherited: open) : try LinkSocket(path: path)
            WatcherState.descriptor = socket.descriptor
            LinkGuard.isGreeting = true
            try LinkGuard.start(link: socket.descriptor, gatewayPid: gateway)
            let handshake = Handshake(socket: socket, isRemote: isRemote)
            let settings = try handshake.greet(token: token, task: task, pythonVersion: version)
            LinkGuard.isGreeting = false
            return Python.bytes(settings)
        } catch .ended {
            return raise(
                .unreachable(
                    "the gateway closed the link before it said Welcome: DCF_TOKEN is not the token of a replica that "
                        + "it waits for"))
        } catch {
            return raise(error)
        }
    }

    /// `ready(microseconds)`: says Ready, with the time that importing and constructing the handler took.
    static func ready(_ micros: PythonObject?) -> PythonObject? {
        guard let micros else { return nil }
        let count = PyLong_AsUnsignedLongLong(micros)
        guard PyErr_Occurred() == nil else { return nil }
        return attempt { () throws(WatcherError) in
            try Handshake(socket: LinkSocket(descriptor: WatcherState.descriptor)).ready(
                constructorMicros: UInt64(count))
            WatcherState.isReady = true
            HealthFile.announce()
        }
    }

    /// `failed(stage, summary, traceback)`: says Failed; the arguments are an int, a str and a bytes.
    static func failed(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let number = PyTuple_GetItem(arguments, 0),
            let stage = Failed.Stage(rawValue: UInt8(clamping: PyLong_AsLong(number))),
            let summary = Python.text(of: PyTuple_GetItem(arguments, 1)),
            let traceback = Python.contents(of: PyTuple_GetItem(arguments, 2))
        else {
            if PyErr_Occurred() == nil { PyErr_SetString(dcf_value_error(), "failed(stage, summary, traceback)") }
            return nil
        }
        return attempt { () throws(WatcherError) in
            try Handshake(socket: LinkSocket(descriptor: WatcherState.descriptor))
                .failed(stage, summary: summary, traceback: Array(traceback))
        }
    }

    /// `set_info(info)`: sets the object that `req.info` gives from now on.
    static func setInfo(_ info: PythonObject?) -> PythonObject? {
        guard let info else { return nil }
        Py_IncRef(info)
        if let old = WatcherState.info { Py_DecRef(old) }
        WatcherState.info = info
        return Python.none()
    }

    /// `line_is_partial()`: a log stream holds an unfinished line. It is asked to write the line when there is nothing
    /// else to do.
    static func lineIsPartial() -> PythonObject? {
        WatcherState.hasPartialLine = true
        return Python.none()
    }

    /// `copy_descriptor(number) -> int`: a copy with a high number, away from the handler's own, closed by exec; -1 if
    /// there can be none.
    static func copyDescriptor(_ number: PythonObject?) -> PythonObject? {
        guard let number else { return nil }
        return PyLong_FromLong(Int(LinkSocket.copyUp(Int32(clamping: PyLong_AsLong(number)))))
    }

    /// `end_group()`: kills this process, and its process group; see ``LinkGuard/endGroup()``.
    static func endGroup() -> PythonObject? {
        LinkGuard.endGroup()
    }

    /// `flush_stdio()`: writes the output that C code has buffered.
    static func flushStdio() -> PythonObject? {
        fflush(nil)
        return Python.none()
    }

    static func attempt(_ body: () throws(WatcherError) -> Void) -> PythonObject? {
        do throws(WatcherError) {
            try body()
            return Python.none()
        } catch {
            return raise(error)
        }
    }

    private static func raise(_ error: WatcherError) -> PythonObject? {
        switch error {
        case .python: break
        case .unreachable(let reason): PyErr_SetString(dcf_connection_error(), reason)
        case .ended: PyErr_SetString(dcf_connection_error(), "the gateway closed the link")
        case .link(let reason):
            if let type = WatcherState.linkError { PyErr_SetString(type, reason) }
        }
        return nil
    }
}
