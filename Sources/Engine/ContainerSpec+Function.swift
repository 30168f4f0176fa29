package import FunctionConfig

extension ContainerSpec {
    /// The user and group `nobody`, by their numbers on all common systems.
    package static let nobody = "65534:65534"
    /// The size of /tmp without `container.tmp` and `limits.memory`, in bytes.
    private static let temporaryBytes: UInt64 = 1 << 30

    /// The container of a function. It has only the rights that the config names, on a gateway and in a trial alike.
    ///
    /// - Parameters:
    ///   - image: the image's name, digest or id.
    ///   - imageUser: the user that the image names. Empty if it names none.
    ///   - imageVariables: the names of the variables that the image sets.
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
        // The user nobody has no home, and the root is read-only. Caches need a folder that they can write to.
        if !imageVariables.contains("HOME") { environment["HOME"] = "/tmp" }
        for variable in function.environment { environment[variable.name] = variable.value }
        environment["DCF_CONTAINER"] = "1"
    }

    /// The user for an image without `container.user`. Only the config can make a function run as root: an image that
    /// names root, or no user, runs as nobody.
    package static func user(ofImage user: String) -> String {
        let name = user.prefix { $0 != ":" }
        return name.isEmpty || name == "root" || name.allSatisfy { $0 == "0" } ? nobody : user
    }
}
