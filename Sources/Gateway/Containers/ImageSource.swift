/// An image that the engine has.
struct ImageSource: Sendable, Equatable {
    /// Names this very image: `sha256:...`.
    var id: String
    /// As it was asked for.
    var name: String
    /// As every node of a Swarm can get it: `registry/name@sha256:...`; its id where no registry has it.
    var reference = ""
    /// The processor that it is for; empty where it does not say.
    var architecture = ""
    /// Whom it wants to run as; empty where it does not say.
    var user = ""
    /// Names of the variables that it sets.
    var variables: Set<String> = []
}
