import FunctionConfig
import Subprocess
import SystemPackage

/// Checks a function's folder before a deploy: the handler file exists, is Python, and defines the handler.
struct HandlerCheck {
    let function: FunctionConfig
    let directory: FilePath

    private var file: FilePath { directory.appending(function.handler.file) }

    /// Throws if the folder or the handler file is missing.
    func requireFiles() throws(CommandFailure) {
        guard let folder = FileKind(at: directory) else {
            throw failure("handler.dir", "functions.\(function.name).handler.dir: there is no folder \(directory)")
        }
        guard folder == .folder else {
            throw failure("handler.dir", "functions.\(function.name).handler.dir: \(directory) is not a folder")
        }
        guard FileKind(at: file) == .file else {
            throw failure(
                "handler.file", "functions.\(function.name).handler.file: there is no file \(file)")
        }
    }

    /// A file that cannot be imported, because `dcf` is always the framework's module. Nil if there is none.
    static func hidden(in directory: FilePath) -> FilePath? {
        let names: [String] = ["dcf.py", "dcf/__init__.py"]
        return names.map { (name: String) -> FilePath in directory.appending(name) }.first { FileKind(at: $0) == .file }
    }

    /// Lets the interpreter compile the handler file, without running it. An error shows the line.
    func requireSyntax(python: FilePath) async throws(CommandFailure) {
        let arguments = ["-I", "-S", "-c", Self.script, file.string, function.handler.name]
        let outcome: (isExit: Bool, status: Int32, output: String)
        do {
            let result = try await run(
                .path(python), arguments: Arguments(arguments), output: .string(limit: 1 << 20), error: .discarded)
            switch result.terminationStatus {
            case .exited(let code): outcome = (true, code, result.standardOutput)
            default: outcome = (false, 0, "")
            }
        } catch {
            throw CommandFailure("cannot run \(python): \(error)")
        }
        switch (outcome.isExit, outcome.status) {
        case (true, 0): return
        case (true, Self.statusSyntax): throw CommandFailure(outcome.output.trimmedAtEnd)
        case (true, Self.statusMissing): throw missing(among: outcome.output.split(separator: "\n").map(String.init))
        default: throw CommandFailure("\(python) ended unexpectedly while it read \(file)")
        }
    }

    private func missing(among defined: [String]) -> CommandFailure {
        let name = function.handler.name
        var message = "\(file) defines no class or function \(name)"
        if let near = Suggestion.nearest(to: name, among: defined) {
            message += "; did you mean \(near.quoted)? Set handler.name to it, or rename it"
        } else {
            message += "; set handler.name to a class or function in this file"
        }
        return failure("handler.name", message)
    }

    private func failure(_ key: String, _ message: String) -> CommandFailure {
        CommandFailure(function.failure(at: key, message))
    }

    private static let statusSyntax: Int32 = 3
    private static let statusMissing: Int32 = 4

    /// Arguments: the file, and the handler's name. Every way to bind a name counts as a definition.
    private static let script = #"""
        import ast, sys
        path, name = sys.argv[1:]
        try:
            with open(path, "rb") as file:
                source = file.read()
            compile(source, path, "exec", dont_inherit=True)
            tree = ast.parse(source, path)
        except SyntaxError as error:
            print(f"{path}:{error.lineno or 1}: {type(error).__name__}: {error.msg}")
            print(f'  File "{path}", line {error.lineno or 1}')
            if error.text:
                text = error.text.rstrip("\n")
                shown = text.lstrip()
                print("    " + shown)
                column = (error.offset or 1) - 1 - (len(text) - len(shown))
                if 0 <= column <= len(shown):
                    print("    " + " " * column + "^")
            sys.exit(3)
        except Exception as error:
            print(f"{path}: {type(error).__name__}: {error}")
            sys.exit(3)
        bound, defined = set(), []
        for node in ast.walk(tree):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                bound.add(node.name)
            elif isinstance(node, ast.alias):
                bound.add(node.asname or node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound.add(node.id)
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                defined.append(node.name)
        if name not in bound and "*" not in bound and "__getattr__" not in bound:
            print("\n".join(defined))
            sys.exit(4)
        """#
}
