/// One container of a service, wanted or gone.
package struct SwarmTask: Sendable, Equatable {
    package var id: String
    package var service: String
    /// The node's id; empty while it has no place.
    package var node: String
    /// `pending`, `running`, `failed`, `rejected` and others.
    package var state: String
    /// What it is to be: `running`, `shutdown`, `ready` (it waits for its turn), `remove`.
    package var wanted: String
    /// What the engine says of it, for people; empty where there is nothing to say.
    package var message: String

    package init(id: String, service: String, node: String, state: String, wanted: String, message: String) {
        self.id = id
        self.service = service
        self.node = node
        self.state = state
        self.wanted = wanted
        self.message = message
    }

    /// Whether it came to its end, however. One of a lost node never does.
    package var hasEnded: Bool {
        ["complete", "shutdown", "failed", "rejected", "remove", "orphaned"].contains(state)
    }

    /// Whether the engine is about to give it up, or has.
    package var isUnwanted: Bool { hasEnded || !["running", "ready"].contains(wanted) }
}
