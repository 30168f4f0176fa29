/// A machine of a Swarm.
package struct SwarmNode: Sendable, Equatable {
    package var id: String
    package var name: String
    /// `ready`, `down`, `unknown` or `disconnected`.
    package var state: String

    package init(id: String, name: String, state: String) {
        self.id = id
        self.name = name
        self.state = state
    }
}
