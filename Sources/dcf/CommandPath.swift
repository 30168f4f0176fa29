import ArgumentParser
import FunctionConfig

/// The words that lead to a command: `dcf function list`.
enum CommandPath {
    /// The error for the first word that should be a command but is not. Nil if there is no such word.
    static func misspelling(in arguments: [String], root: any ParsableCommand.Type) -> String? {
        var command = root
        var path = names(of: root).first ?? "dcf"
        for (index, word) in arguments.enumerated() {
            let subcommands = command.configuration.subcommands
            if subcommands.isEmpty || word.hasPrefix("-") { return nil }
            if word == "help", index == 0 { continue }
            guard let next = subcommands.first(where: { names(of: $0).contains(word) }) else {
                return message(for: word, path: path, command: command)
            }
            command = next
            path += " \(word)"
        }
        return nil
    }

    private static func message(for word: String, path: String, command: any ParsableCommand.Type) -> String {
        var beginning = "unknown command \("\(path) \(word)".quoted)"
        if let near = nearest(to: word, path: path, command: command) {
            beginning += "; did you mean \(near.quoted)?"
        } else {
            beginning += "; \"\(path) --help\" lists the commands"
        }
        return beginning
    }

    /// The nearest command on this level, or a command one level deeper with exactly this name (`dcf list`).
    private static func nearest(to word: String, path: String, command: any ParsableCommand.Type) -> String? {
        let subcommands = command.configuration.subcommands
        for subcommand in subcommands {
            let deeper = subcommand.configuration.subcommands
            if deeper.contains(where: { names(of: $0).contains(word) }), let name = names(of: subcommand).first {
                return "\(path) \(name) \(word)"
            }
        }
        return Suggestion.nearest(to: word, among: subcommands.flatMap(names)).map { "\(path) \($0)" }
    }

    /// The name of a command, then its aliases.
    private static func names(of command: any ParsableCommand.Type) -> [String] {
        [command.configuration.commandName ?? ""] + command.configuration.aliases
    }
}
