/// What two functions must have in common to share a template: everything that an import can see of them.
struct TemplateKey: Sendable, Hashable {
    /// The interpreter, by path.
    var python: String
    /// What it imports, in this order.
    var modules: [String]
    /// Its environment, less what tells one function, or one replica, from another.
    var variables: [String: String]
    /// Where it runs.
    var folder: String
}
