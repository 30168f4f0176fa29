/// Why a gateway does not start. Each message says what to do.
package enum GatewayError: Error, CustomStringConvertible {
    case dataFolder(path: String, reason: String)
    /// Another process uses the data folder.
    case dataFolderInUse(path: String, pid: String)
    /// Other machines can reach the address, and the command line does not allow that.
    case plaintext(address: String)
    /// Other machines can reach the address that tasks of a Swarm dial, and the command line does not allow that.
    case plaintextLink(address: String)
    case component(String)

    package var description: String {
        switch self {
        case .dataFolder(let path, let reason):
            "the data folder \(path) cannot be used: \(reason); choose another with --data-dir"
        case .dataFolderInUse(let path, let pid):
            "the data folder \(path) is in use by process \(pid); stop it, or choose another with --data-dir"
        case .plaintext(let address):
            "\(address) can be reached from other machines, and calls to it are not encrypted; allow that with "
                + "--allow-plaintext, or listen on 127.0.0.1"
        case .plaintextLink(let address):
            "the links of tasks to \(address) (--link-listen) are not encrypted unless the gateway is itself a container on the "
                + "overlay network; allow that with --allow-plaintext"
        case .component(let reason): reason
        }
    }
}
