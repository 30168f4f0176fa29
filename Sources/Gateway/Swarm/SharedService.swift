internal import Engine
internal import Foundation
internal import FunctionConfig

/// A version that another gateway of the group has deployed, as the labels of its service tell.
struct SharedService: Sendable, Equatable {
    private enum Label {
        static let group = "io.dcf.group"
        static let nonce = "io.dcf.nonce"
        static let record = "io.dcf.record"
        static let traffic = "io.dcf.traffic"
        static let place = "io.dcf.place"
    }

    /// The service's.
    let id: String
    /// The id of the gateway that it belongs to.
    let owner: String
    /// Where that gateway listens, `HOST:PORT`; empty where it does not say.
    let place: String
    /// With the traffic that it has now, and as many replicas as there are.
    let record: VersionRecord
    let token: LinkToken
    /// How many tasks it is to have.
    let tasks: Int
    /// The ids of its secrets.
    let secrets: [String]
    private let nonce: String
    private let group: String

    /// Nil for a service that is not of this group.
    init?(_ service: SwarmServiceState, group: SwarmGroup) {
        let labels = service.labels
        guard labels[Label.group] == group.id, let owner = labels[ContainerHost.Label.gateway],
            let nonce = labels[Label.nonce], let text = labels[Label.record],
            var record = try? JSONDecoder().decode(VersionRecord.self, from: Data(text.utf8))
        else { return nil }
        record.traffic = labels[Label.traffic].flatMap { Int($0) } ?? 0
        // Their number is the owner's to change.
        record.replicas = ReplicaRange(min: max(service.replicas, 1), max: max(service.replicas, 1))
        id = service.id
        tasks = service.replicas
        secrets = service.secrets
        self.nonce = nonce
        self.group = group.id
        self.owner = owner
        place = labels[Label.place] ?? ""
        self.record = record
        token = group.token(of: record.name, version: record.version, nonce: nonce)
    }

    /// The labels that it was made with, less the traffic.
    var groupLabels: [String: String] { [Label.group: group, Label.nonce: nonce, Label.place: place] }

    /// What finds the services of a group.
    static func labels(of group: SwarmGroup) -> [String: String] { [Label.group: group.id] }

    /// What the others of the group need to know of a service.
    ///
    /// - Parameter place: where its gateway listens.
    static func labels(
        of record: VersionRecord, nonce: String, group: SwarmGroup, place: String
    ) -> [String: String] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = (try? encoder.encode(record)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return labels(of: group).merging([Label.nonce: nonce, Label.record: text, Label.place: place]) { $1 }
    }

    /// Its share of the function's calls.
    static func label(ofTraffic weight: Int) -> [String: String] { [Label.traffic: "\(weight)"] }
}
