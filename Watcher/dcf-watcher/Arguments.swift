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
/// The first form is for a container: without `--parent` the process is the container's first one. It starts the
/// replica as its child, with `--contained`; nothing else uses that flag.
struct Arguments {
    /// The program that the process runs.
    enum Mode {
        /// The interpreter, as a function's replica on the link.
        case replica
        /// The interpreter, as a template from which replicas are forked. Standard input is its control channel.
        case template
        /// The interpreter, for one call from standard input.
        case once
        /// Any other program.
        case child
        /// The sweeper, which ends the processes that others leave behind.
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

    private(set) var mode = Mode.replica
    /// The process that must be the parent; when it ends, this process does too.
    private(set) var parent: Int32?
    private(set) var python: String?
    /// Whether a container's first process started this one.
    private(set) var isContained = false
    /// The mark that this process and its descendants carry.
    private(set) var mark: ProcessMark?
    /// The control group that the process joins.
    private(set) var group: ControlGroup?
    /// For a sweeper: the family of the marks on the processes that it ends.
    private(set) var family: UInt32 = 0
    /// For a sweeper: the folder of the family's control groups.
    private(set) var groups: String?
    /// For a sweeper: whether the processes get time to end by themselves.
    private(set) var isPatient = true
    /// For a child: the program to run, with its arguments.
    private(set) var command: [String] = []

    /// Whether this is the first process of a container, or acts as one.
    var isAlone: Bool {
        parent == nil && (mode == .replica || ((mode == .once || mode == .child) && getpid() == 1))
    }

    /// - Parameters:
    ///   - words: the command line without the program's own name.
    ///   - isOnce: whether the environment asks for one call: an image may have a command line that cannot be changed.
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
        if isOnce && mode == .replica && parent == nil { mode = .once }
        try check()
    }

    private func check() throws(LaunchError) {
        switch mode {
        case .child:
            if command.isEmpty { throw .usage("--child needs a command after --") }
        case .template:
            if parent == nil { throw .usage("--parent is missing") }
            if python == nil { throw .usage("--python is missing") }
        case .replica:
            if parent != nil && python == nil { throw .usage("--python is missing") }
        case .once, .sweep:
            break
        }
    }
}
