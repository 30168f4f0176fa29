package import FunctionConfig

extension ContainerSpec {
    /// Nobody, on every system that matters.
    package static let nobody = "65534:65534"
    /// What /tmp holds where the config does not say, in bytes.
    private static let temporaryBytes: UInt64 = 1 << 30

    /// The container of a function: no rights but those that its config names, on a gateway and in a trial alike.
    ///
    /// - Parameters:
    ///   - image: a name, a digest or an id.
    ///   - imageUser: whom the image wants to run as; empty where it does not say.
    ///   - imageVariables: names of the variables that the image sets.
    package init(image: String, imageUser: String, imageVariables: Set<String>, of function: FunctionConfig) {
        self.init(image: image)
        let container = function.container
        user = container.user ?? Self.user(ofImage: imageUser)
        capabilities = container.capabilities
        mayGainPrivileges = container.mayGainPrivileges
        hasReadOnlyRoot = container.hasReadOnlyRoot
        let size = container.temporaryBytes ?? function.limits.memory ?? Self.temporaryBytes
        temporary = ["/tmp": "rw,exec,nosuid,nodev,mode=1777,size=\(size)"]
        temporaryBytes = size
        processesMax = container.pidsMax
        network = container.network
        memory = function.limits.memory
        cpus = function.limits.cpu
        if let cpus = function.limits.wholeCPUs { environment["OMP_NUM_THREADS"] = "\(cpus)" }
        // Nobody's home does not exist, and the root is read-only: caches go where one can write.
        if !imageVariables.contains("HOME") { environment["HOME"] = "/tmp" }
        for variable in function.environment { environment[variable.name] = variable.value }
        environment["DCF_CONTAINER"] = "1"
    }

    /// Only the config makes a function run as root: an image that says so, or says nothing, runs as nobody.
    package static func user(ofImage user: String) -> String {
        let name = user.prefix { $0 != ":" }
        return name.isEmpty || name == "root" || name.allSatisfy { $0 == "0" } ? nobody : user
    }
}
