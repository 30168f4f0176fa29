/// A language that functions can be written in: what `runtime` in the config names.
package struct FunctionRuntime: Sendable, Equatable {
    package let name: String
    package let aliases: [String]
    package let description: String

    package static let python3 = FunctionRuntime(
        name: "python3", aliases: ["python"],
        description: "CPython 3.9 or later; handler.py with a class Handler")

    package static let all = [python3]

    /// Every name that a config may give.
    package static var names: [String] { all.flatMap { [$0.name] + $0.aliases } }

    package static func named(_ name: String) -> FunctionRuntime? {
        all.first { $0.name == name || $0.aliases.contains(name) }
    }
}
