import Glibc

/// Starts a child process, and ends this process like the child.
enum ChildProcess {
    /// Starts a program with default signal dispositions and no blocked signals.
    ///
    /// - Parameters:
    ///   - command: the program, by its path or by a name on PATH, and its arguments.
    ///   - output: the descriptor for its standard output, with its standard error at /dev/null; nil leaves both as
    ///     they are.
    ///   - input: the descriptor for its standard input; nil leaves it as it is.
    ///   - isSilent: whether its standard output and error go to /dev/null, and it gets no environment variables.
    static func spawn(
        _ command: [String], output: Int32? = nil, input: Int32? = nil, isSilent: Bool = false
    ) throws(LaunchError) -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let output {
            posix_spawn_file_actions_adddup2(&actions, output, 1)
            posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        }
        if let input { posix_spawn_file_actions_adddup2(&actions, input, 0) }
        if isSilent {
            posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
            posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        }
        var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
        defer { for word in words { free(word) } }
        words.append(nil)
        var child: pid_t = 0
        var nothing: UnsafeMutablePointer<CChar>?
        let failure =
            isSilent
            ? posix_spawnp(&child, command[0], &actions, &attributes, words, &nothing)
            : posix_spawnp(&child, command[0], &actions, &attributes, words, environ)
        guard failure == 0 else { throw .notRunnable(command[0], String(cString: strerror(failure))) }
        return child
    }

    /// Ends this process as the child ended: with its exit status, or by the same signal.
    ///
    /// - Parameter status: the child's, from `waitpid`.
    static func end(like status: Int32) -> Never {
        let number = status & 0x7F
        if number == 0 { _exit(status >> 8 & 0xFF) }
        // One core dump, that of the program itself, is enough.
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
        signal(number, SIG_DFL)
        var only = sigset_t()
        sigemptyset(&only)
        sigaddset(&only, number)
        sigprocmask(SIG_UNBLOCK, &only, nil)
        kill(getpid(), number)
        _exit(128 + number)
    }
}
