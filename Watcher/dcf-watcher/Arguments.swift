/// The launcher's command line.
///
///     dcf-watcher --parent PID --python PATH
///     dcf-watcher --template --parent PID --python PATH
///     dcf-watcher --once [--parent PID] --python PATH
///     dcf-watcher --child [--parent PID] -- COMMAND ARGUMENT...
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
    }

    static let usage = """
        usage: dcf-watcher --parent PID --python PATH
               dcf-watcher --template --parent PID --python PATH
               dcf-watcher --once [--parent PID] --python PATH
               dcf-watcher --child [--parent PID] -- COMMAND [ARGUMENT...]
        """

    private(set) var mode = Mode.link
    /// The process that must be the parent; when it ends, this process does too.
    private(set) var parent: Int32?
    private(set) var python: String?
    /// The program to become, with its arguments.
    private(set) var command: [String] = []

    /// - Parameter words: the command line without the program's own name.
    init(_ words: [String]) throws(LaunchError) {
        var rest = words[...]
        while let word = rest.popFirst() {
            switch word {
            case "--child": mode = .child
            case "--once": mode = .once
            case "--template": mode = .template
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
            case "--":
                command = Array(rest)
                rest = []
            default: throw .usage("unknown argument \"\(word)\"")
            }
        }
        try check()
    }

    private func check() throws(LaunchError) {
        switch mode {
        case .child:
            if command.isEmpty { throw .usage("--child needs a command after --") }
        case .link, .template:
            if parent == nil { throw .usage("--parent is missing") }
            if python == nil { throw .usage("--python is missing") }
        case .once:
            if python == nil { throw .usage("--python is missing") }
        }
    }
}
