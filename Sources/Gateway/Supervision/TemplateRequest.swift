/// What the gateway says to a template. Fields are separated by zero bytes, which none can hold.
enum TemplateRequest: Equatable {
    /// Start a replica; the descriptors of its standard output, its standard error and its gate go along.
    ///
    /// - Parameters:
    ///   - number: comes back in the report.
    ///   - cpus: those that it may use; empty is no restriction.
    ///   - variables: added to the template's own.
    case fork(number: UInt64, cpus: [Int], variables: [String: String])
    /// Nothing will be sent any more to this process, which has ended: its number may be used again.
    case reap(pid: Int32)

    var bytes: [UInt8] {
        let fields: [String] =
            switch self {
            case .fork(let number, let cpus, let variables):
                ["fork", "\(number)", cpus.map(String.init).joined(separator: ",")]
                    + variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            case .reap(let pid): ["reap", "\(pid)"]
            }
        return Array(fields.joined(separator: "\0").utf8)
    }
}
