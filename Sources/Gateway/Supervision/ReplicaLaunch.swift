/// What a replica's process is started with.
package struct ReplicaLaunch: Sendable {
    /// The path of `dcf-watcher`.
    package var launcher: String
    /// The function's interpreter.
    package var python: String
    /// All of its environment.
    package var variables: [String: String]
    /// The folder it starts in: the function's.
    package var folder: String
    /// How many CPUs it may use; nil is all.
    package var cpus: Int?
    /// Whether it is not a replica but a template of some.
    package var isTemplate: Bool
    /// What it is the root of; without one only its group ends with it.
    package var tree: ReplicaTree?

    package init(
        launcher: String, python: String, variables: [String: String], folder: String, cpus: Int? = nil,
        isTemplate: Bool = false, tree: ReplicaTree? = nil
    ) {
        self.launcher = launcher
        self.python = python
        self.variables = variables
        self.folder = folder
        self.cpus = cpus
        self.isTemplate = isTemplate
        self.tree = tree
    }

    /// The launcher's command line, without its own name.
    package func arguments(parent: Int32) -> [String] {
        (isTemplate ? ["--template"] : []) + ["--parent", String(parent), "--python", python] + (tree?.arguments ?? [])
    }
}
