import Glibc
import ProcessTree

/// The launcher's command line.
///
///     dcf-watcher [--python PATH]
///     dcf-watcher --parent PID --python PATH [--mark MARK] [--group PATH]
///     dcf-watcher --template --parent PID --python PATH [--mark MARK] [--group PATH]
///     dcf-watcher --once [--parent PID] [--python PATH]
///     dcf-watcher --child [--parent PID] -- COMMAND ARGUMENT...
///     dcf-watcher --sweep FAMILY [--at-once] [--groups PATH]
///
/// The first is a container's: with nobody named as its parent, a replica stands by itself. `--contained`, which that gives to
/// the process that it starts, is for nobody else.
struct Arguments {
    /// What the process becomes.
    enum Mode {
        /// A function's replica: the interpreter, on the link.
        case link
        /// The interpreter, with imports done, from which replicas are forked. Standard input is its control channel.
        case template
        /// The interpreter, for one call from standard input.
        case once
        /// Any other program.
        case child
        /// None: it ends what others leave behind.
        case sweep
    }

    static let usage = """
        usage: dcf-watcher [--python PATH]
               dcf-watcher --parent PID --python PATH [--mark MARK] [--group PATH]
               dcf-watcher --template --parent PID --python PATH [--mark MARK] [--group PATH]
               dcf-watcher --once [--parent PID] [--python PATH]
               dcf-watcher --child [--parent PID] -- COMMAND [ARGUMENT...]
               dcf-watcher --sweep FAMILY [--at-once] [--groups PATH]
        """

    private(set) var mode = Mode.link
    /// The process that must be the parent; when it ends, this process does too.
    private(set) var parent: Int32?
    private(set) var python: String?
    /// Whether a container's first process started this one.
    private(set) var isContained = false
    /// What this process and all that comes from it is to carry.
    private(set) var mark: ProcessMark?
    /// The control group that it is to be in.
    private(set) var group: ControlGroup?
    /// Whose leavings a sweeper ends, in which folder their control groups are, and whether it gives them time.
    private(set) var family: UInt32 = 0
    private(set) var groups: String?
    private(set) var isPatient = true
    /// The program to become, with its arguments.
    private(set) var command: [String] = []

    /// Whether this is the first process of a container, or stands in for it.
    var isAlone: Bool {
        parent == nil && (mode == .link || ((mode == .once || mode == .child) && getpid() == 1))
    }

    /// - Parameters:
    ///   - words: the command line without the program's own name.
    ///   - isOnce: whether the environment asks for one call, for images whose command line is another's.
    init(_ words: [String], isOnce: Bool = false) throws(LaunchError) {
        var rest = words[...]
        while let word = rest.popFirst() {
            switch word {
            case "--child": mode = .child
            case "--once": mode = .once
            case "--template": mode = .template
            case "--contained": isContained = true
            case "--parent":
                guard let text = rest.popFirst(), let pid = Int32(text), pid > 0 else {
                    throw .usage("--parent needs the number of a process")
                }
                parent = pid
            case "--python":
                guard let path = rest.popFirst(), !path.isEmpty else {
                    throw .usage("--python needs the path of an interpreter")
                }
                python = path
            case "--mark":
                guard let found = rest.popFirst().flatMap({ UInt64($0) }).flatMap({ ProcessMark(rawValue: $0) }) else {
                    throw .usage("--mark needs the number of a mark")
                }
                mark = found
            case "--group":
                guard let path = rest.popFirst(), !path.isEmpty else {
                    throw .usage("--group needs the path of a control group")
                }
                group = ControlGroup(path: path)
            case "--sweep":
                mode = .sweep
                guard let found = rest.popFirst().flatMap({ UInt32($0) }), found > 0 else {
                    throw .usage("--sweep needs the number of a family")
                }
                family = found
            case "--groups": groups = rest.popFirst()
            case "--at-once": isPatient = false
            case "--":
                command = Array(rest)
                rest = []
            default: throw .usage("unknown argument \"\(word)\"")
            }
        }
        if isOnce && mode == .link && parent == nil { mode = .once }
        try check()
    }

    private func check() throws(LaunchError) {
        switch mode {
        case .child:
            if command.isEmpty { throw .usage("--child needs a command after --") }
        case .template:
            if parent == nil { throw .usage("--parent is missing") }
            if python == nil { throw .usage("--python is missing") }
        case .link:
            if parent != nil && python == nil { throw .usage("--python is missing") }
        case .once, .sweep:
            break
        }
    }
}
