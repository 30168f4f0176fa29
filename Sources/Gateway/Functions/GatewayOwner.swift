/// Another gateway of the group, as its functions tell of it.
struct GatewayOwner: Sendable, Hashable, CustomStringConvertible {
    let id: String
    /// Where it listens, `HOST:PORT`; empty where it does not say.
    let place: String

    var description: String { place.isEmpty ? String(id.prefix(8)) : "\(place) (\(id.prefix(8)))" }

    /// What frees a function's name where this gateway will never be back.
    func farewell(of function: String) -> String {
        """
        if it is gone for good, this on a manager of the Swarm frees the name, and the function can be created anew: docker \
        service rm $(docker service ls -q --filter label=io.dcf.gateway=\(id) --filter label=io.dcf.function=\(function))
        """
    }
}
