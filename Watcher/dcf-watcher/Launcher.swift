import CLinux
import Glibc
import ProcessTree

/// Turns this process into the one asked for: first it is tied to its parent's life and marked, then it calls `exec`. Only a
/// program other than a function's interpreter gets a guard instead, see `GroupGuard`.
///
/// A function's interpreter gets a bootstrap with `-c` that loads libPythonWatcher.so as an extension module: one way for
/// interpreters with and without a shared libpython, and prefix and site-packages are the interpreter's own.
enum Launcher {
    /// Runs only as far as `exec`.
    static func run(_ arguments: Arguments) throws(LaunchError) -> Never {
        if arguments.mode == .sweep {
            Sweeper.run(arguments.family, isPatient: arguments.isPatient, groups: arguments.groups)
        }
        if arguments.mode == .child {
            forbidDumps()
            try GroupGuard.run(arguments.command, parent: arguments.parent)
        }
        try tieToParent(arguments)
        contain(arguments)
        resetSignals()
        if arguments.mode != .once {
            // An interrupt typed at a terminal does not reach this group: it is the gateway's to handle.
            becomeGroupLeader()
        }
        try become(arguments)
    }

    /// The kernel ends this process when the thread that started it ends; a parent that had ended before is found by
    /// looking once more.
    private static func tieToParent(_ arguments: Arguments) throws(LaunchError) {
        if arguments.mode == .once && arguments.parent == nil { return }
        let parent = arguments.parent ?? getppid()
        _ = dcf_prctl_pdeathsig(SIGKILL)
        // Init is nobody's parent here, unless it was named.
        guard getppid() == parent, parent != 1 || arguments.parent == 1 else { throw .orphaned }
    }

    /// So that what comes from this process can be found when it has ended: whoever started it looks for that, unless nobody
    /// stays who could.
    private static func contain(_ arguments: Arguments) {
        if arguments.mode == .once {
            // In a container all ends with the first process.
            guard !arguments.isContained else { return }
            let family = ProcessMark.newFamily()
            Sweeper.watchThisProcess(family, isPatient: true)
            ProcessMark(family: family, number: 0).put(on: 0)
            return
        }
        forbidDumps()
        arguments.group?.take(0)
        arguments.mark?.put(on: 0)
    }

    /// A function's memory, with what its callers sent, is not for the disk.
    private static func forbidDumps() {
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
    }

    /// Dispositions and mask are inherited through `exec`; the next program gets the defaults.
    private static func resetSignals() {
        for number in 1...64 where number != SIGKILL && number != SIGSTOP {
            signal(Int32(number), SIG_DFL)
        }
        var none = sigset_t()
        sigemptyset(&none)
        sigprocmask(SIG_SETMASK, &none, nil)
    }

    /// So that the gateway can signal the handler's own children too.
    private static func becomeGroupLeader() {
        if getpgrp() != getpid() { setpgid(0, 0) }
    }

    private static func become(_ arguments: Arguments) throws(LaunchError) -> Never {
        let python = arguments.python ?? "python3"
        let mode =
            switch arguments.mode {
            case .once: "once"
            case .template: "template"
            default: "link"
            }
        let library = try findLibrary()
        let home = arguments.isContained ? "contained" : "host"
        try exec([python, "-c", bootstrap, library, mode, "\(arguments.parent ?? 0)", home]) { reason in
            .pythonNotRunnable(python, reason)
        }
    }

    /// Beside this program, or where `make install` puts it.
    private static func findLibrary() throws(LaunchError) -> String {
        let folder = ownFolder()
        let places = ["\(folder)/libPythonWatcher.so", "\(folder)/../lib/dcf/libPythonWatcher.so"]
        for place in places where access(place, R_OK) == 0 {
            return place
        }
        throw .libraryMissing(places)
    }

    static func ownFolder() -> String {
        var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = bytes.withUnsafeMutableBytes { buffer in
            buffer.withMemoryRebound(to: CChar.self) { target in
                target.baseAddress.map { readlink("/proc/self/exe", $0, target.count) } ?? 0
            }
        }
        let path = String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return String(path[..<slash])
    }

    /// `execvp`: a name without a slash is looked up in PATH.
    private static func exec(_ command: [String], failure: (String) -> LaunchError) throws(LaunchError) -> Never {
        var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
        words.append(nil)
        if let program = words[0] { execvp(program, words) }
        throw failure(String(cString: strerror(errno)))
    }

    /// Runs in the function's interpreter, of any version: only syntax that Python 2.7 parses too. It starts in the function's
    /// folder, where nothing may be found before the author's own code runs.
    private static let bootstrap = """
        import sys
        if sys.path and sys.path[0] == "":
            del sys.path[0]
        _contained = sys.argv[4] == "contained"
        _advice = "build the image on another base" if _contained else "see its python key"
        def _refuse(reason):
            sys.stderr.write("dcf-watcher: " + reason + "\\n")
            sys.stderr.flush()
            sys.exit(1 if _contained else 69)
        if sys.version_info < (3, 9):
            _refuse("%s is Python %d.%d, a function needs Python 3.9 or later; %s"
                % (sys.executable, sys.version_info[0], sys.version_info[1], _advice))
        if sys.implementation.name != "cpython" or "t" in sys.abiflags:
            _refuse("%s is not a usual build of CPython (%s); %s"
                % (sys.executable, sys.version.replace("\\n", " "), _advice))
        def _libc():
            import os
            try:
                name, _, version = os.confstr("CS_GNU_LIBC_VERSION").partition(" ")
                if name != "glibc":
                    raise ValueError(name)
                return None if [int(each) for each in version.split(".")[:2]] >= [2, 34] else "its C library is glibc " + version
            except (AttributeError, OSError, ValueError):
                return "its C library is not glibc (Alpine's is musl)"
        def _load(name, path):
            loader = sys.modules["_frozen_importlib_external"].ExtensionFileLoader(name, path)
            try:
                module = loader.create_module(sys.modules["_frozen_importlib"].ModuleSpec(name, loader, origin=path))
            except ImportError as error:
                old = _libc()
                if old is not None:
                    _refuse("%s cannot run a function: %s, and glibc 2.34 or later is needed, as in Debian 12 and"
                        " Ubuntu 22.04; %s" % (sys.executable, old, _advice))
                _refuse("%s cannot be loaded into %s: %s" % (path, sys.executable, error))
            loader.exec_module(module)
            return module
        _watcher = sys.modules["_dcf_watcher"] = _load("_dcf_watcher", sys.argv[1])
        exec(compile(_watcher.source("bootstrap"), "<dcf>/bootstrap.py", "exec"),
            {"__name__": "_dcf_bootstrap", "__builtins__": dict(vars(sys.modules["builtins"]))})
        """
}
