/// The parameters with which a replica's process is started.
package struct ReplicaLaunch: Sendable {
    /// The path of `dcf-watcher`.
    package var launcher: String
    /// The function's interpreter.
    package var python: String
    /// Its whole environment.
    package var variables: [String: String]
    /// The folder in which it starts: the folder of the function.
    package var folder: String
    /// How many CPUs it may use. Nil stands for all.
    package var cpus: Int?
    /// Whether it is a template, and not a replica.
    package var isTemplate: Bool
    /// The tree of which it is the root. Without a tree, only its process group ends with it.
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
