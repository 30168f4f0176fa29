internal import Engine
internal import Foundation
internal import FunctionConfig
internal import Link

/// A version that a gateway of the group has deployed, read from the labels of its service.
struct SharedService: Sendable, Equatable {
    /// The service's id.
    let id: String
    /// The id of the gateway that owns the service.
    let owner: String
    /// Where that gateway listens, `HOST:PORT`; empty when it is unknown.
    let place: String
    /// The version's record, with its present traffic and its present number of replicas.
    let record: VersionRecord
    let token: LinkToken
    /// How many tasks the service should have.
    let tasks: Int
    /// The ids of the service's secrets.
    let secrets: [String]
    private let nonce: String
    private let group: String

    /// Nil when the service does not belong to this group.
    init?(_ service: SwarmServiceState, group: SwarmGroup) {
        let labels = service.labels
        guard labels[EngineLabel.group] == group.id, let owner = labels[EngineLabel.gateway],
            let nonce = labels[EngineLabel.nonce], let text = labels[EngineLabel.record],
            var record = try? JSONDecoder().decode(VersionRecord.self, from: Data(text.utf8))
        else { return nil }
        record.traffic = labels[EngineLabel.traffic].flatMap { Int($0) } ?? 0
        // Only the owner changes the number of replicas.
        record.replicas = ReplicaRange(min: max(service.replicas, 1), max: max(service.replicas, 1))
        id = service.id
        tasks = service.replicas
        secrets = service.secrets
        self.nonce = nonce
        self.group = group.id
        self.owner = owner
        place = labels[EngineLabel.place] ?? ""
        self.record = record
        token = group.token(of: record.name, version: record.version, nonce: nonce)
    }

    /// The group's labels of the service, without the record and the traffic.
    var groupLabels: [String: String] {
        [EngineLabel.group: group, EngineLabel.nonce: nonce, EngineLabel.place: place]
    }

    /// The labels by which the services of a group are found.
    static func labels(of group: SwarmGroup) -> [String: String] { [EngineLabel.group: group.id] }

    /// The labels that tell the other gateways of the group about a service.
    ///
    /// - Parameter place: where the service's gateway listens.
    static func labels(
        of record: VersionRecord, nonce: String, group: SwarmGroup, place: String
    ) -> [String: String] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = (try? encoder.encode(record)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return labels(of: group).merging([EngineLabel.nonce: nonce, EngineLabel.record: text, EngineLabel.place: place])
        { $1 }
    }

    /// The label with the version's share of the function's calls.
    static func label(ofTraffic weight: Int) -> [String: String] { [EngineLabel.traffic: "\(weight)"] }
}
