import CLinux
import Glibc
import ProcessTree

/// Prepares this process and then executes the function's interpreter in it: ties it to its parent's life, marks it,
/// and calls `exec`. Other programs run as a child of a `GroupGuard` instead.
///
/// The interpreter gets a program with `-c` that loads libPythonWatcher.so as an extension module. That works for
/// interpreters with and without a shared libpython, and keeps the interpreter's own prefix and site-packages.
enum Launcher {
    /// Runs the mode that the command line names.
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
            // An interrupt typed at a terminal then does not reach this process: the gateway handles it.
            makeGroup()
        }
        try executeInterpreter(arguments)
    }

    /// Has the kernel end this process when the thread that started it ends. Then checks that the parent had not ended
    /// before.
    private static func tieToParent(_ arguments: Arguments) throws(LaunchError) {
        if arguments.mode == .once && arguments.parent == nil { return }
        let parent = arguments.parent ?? getppid()
        _ = dcf_prctl_pdeathsig(SIGKILL)
        // With init as its parent, the process is an orphan, unless the command line names init.
        guard getppid() == parent, parent != 1 || arguments.parent == 1 else { throw .orphaned }
    }

    /// Marks this process, so that its descendants can be found when it has ended. The process that started it looks
    /// for them; for `--once` a sweeper does.
    private static func contain(_ arguments: Arguments) {
        if arguments.mode == .once {
            // In a container all processes end with the first one.
            guard !arguments.isContained else { return }
            let family = ProcessMark.newFamily()
            Sweeper.watchThisProcess(family, isPatient: true)
            ProcessMark(family: family, number: 0).put(on: 0)
            return
        }
        forbidDumps()
        arguments.group?.add(0)
        arguments.mark?.put(on: 0)
    }

    /// A function's memory holds its callers' data, which must not get to the disk.
    private static func forbidDumps() {
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
    }

    /// Sets default dispositions and an empty mask: the next program inherits them through `exec`.
    private static func resetSignals() {
        for number in 1...64 where number != SIGKILL && number != SIGSTOP {
            signal(Int32(number), SIG_DFL)
        }
        var none = sigset_t()
        sigemptyset(&none)
        sigprocmask(SIG_SETMASK, &none, nil)
    }

    /// Makes a process group, so that the gateway can signal the handler's children too.
    private static func makeGroup() {
        if getpgrp() != getpid() { setpgid(0, 0) }
    }

    private static func executeInterpreter(_ arguments: Arguments) throws(LaunchError) -> Never {
        let python = arguments.python ?? "python3"
        let mode =
            switch arguments.mode {
            case .once: "once"
            case .template: "template"
            default: "replica"
            }
        let library = try findLibrary()
        let home = arguments.isContained ? "contained" : "host"
        try exec([python, "-c", bootstrap, library, mode, "\(arguments.parent ?? 0)", home]) { reason in
            .pythonNotRunnable(python, reason)
        }
    }

    /// The library beside this program, or where `make install` puts it.
    private static func findLibrary() throws(LaunchError) -> String {
        let folder = ownFolder()
        let places = ["\(folder)/libPythonWatcher.so", "\(folder)/../lib/dcf/libPythonWatcher.so"]
        for place in places where access(place, R_OK) == 0 {
            return place
        }
        throw .libraryMissing(places)
    }

    /// The folder of this program.
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

    /// Calls `execvp`, which looks up a name without a slash in PATH.
    private static func exec(_ command: [String], failure: (String) -> LaunchError) throws(LaunchError) -> Never {
        var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
        words.append(nil)
        if let program = words[0] { execvp(program, words) }
        throw failure(String(cString: strerror(errno)))
    }

    /// Runs in the function's interpreter, of any version, so it has only syntax that Python 2.7 parses too. The
    /// current folder is the function's: it is taken off `sys.path`, so that no import finds a file there before the
    /// author's code runs.
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
                is_new = [int(each) for each in version.split(".")[:2]] >= [2, 34]
                return None if is_new else "its C library is glibc " + version
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
        exec(compile(_watcher.source("_dcf_bootstrap"), "<dcf>/_dcf_bootstrap.py", "exec"),
            {"__name__": "_dcf_bootstrap", "__builtins__": dict(vars(sys.modules["builtins"]))})
        """
}
