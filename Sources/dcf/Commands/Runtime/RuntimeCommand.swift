import ArgumentParser

/// `dcf runtime`: the group.
struct RuntimeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runtime",
        abstract: "Shows what functions can be written in.",
        discussion: """
            Example:
              dcf runtime list
            """,
        subcommands: [RuntimeList.self])
}
