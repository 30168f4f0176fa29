internal import Environments
internal import FunctionConfig

extension FunctionPlan {
    /// Variables that name a function, and that its replicas get after the fork.
    private static let ownVariables: Set<String> = ["HANDLER_DIR", "HANDLER_FILE", "HANDLER_NAME"]

    /// The template that its replicas are forked from; nil when each starts by itself.
    ///
    /// - Parameter inherited: the gateway's own environment.
    func templateKey(inherited: [String: String]) -> TemplateKey? {
        guard !config.preload.isEmpty, case .process(let source) = source else { return nil }
        let variables = variables(inherited: inherited).filter { !Self.ownVariables.contains($0.key) }
        // A relative path in it means one in the function's folder.
        let isRelative = (variables["PYTHONPATH"] ?? "").split(separator: ":").contains { !$0.hasPrefix("/") }
        return TemplateKey(
            python: source.python.python, modules: config.preload, variables: variables,
            folder: isRelative ? source.folder : "/")
    }
}
