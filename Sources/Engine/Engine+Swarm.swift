internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1

extension Engine {
    /// How often a change of a service is tried when other clients change the service at the same time.
    private static let triesMax = 10

    // MARK: Services

    /// Creates a service.
    ///
    /// - Parameter credentials: the credentials with which the nodes pull the image.
    /// - Returns: the service's id.
    package func createService(
        _ spec: ServiceSpec, credentials: RegistryCredentials?
    ) async throws(EngineError) -> String {
        let answer = try await ask(
            Identified.self, .POST, "/services/create", body: try Self.json(CreateServiceRequest(spec)),
            contentType: "application/json", headers: Self.headers(credentials),
            doing: "cannot create service \(spec.name)")
        return answer.ID
    }

    /// The service of this name or id. Nil if there is none.
    package func service(_ name: String) async throws(EngineError) -> SwarmServiceState? {
        do throws(EngineError) {
            return try await ask(
                ServiceAnswer.self, .GET, "/services/\(Self.escaped(name))", doing: "cannot ask for service \(name)"
            ).state
        } catch {
            if error.kind == .notFound { return nil }
            throw error
        }
    }

    /// All services with all of these labels.
    package func services(labels: [String: String]) async throws(EngineError) -> [SwarmServiceState] {
        try await ask(
            [ServiceAnswer].self, .GET, "/services", query: [("filters", Self.filter(labels))],
            doing: "cannot list services"
        ).map(\.state)
    }

    /// Changes the number of a service's tasks, and some of its labels. Running tasks stay as they are.
    ///
    /// - Parameters:
    ///   - labels: the new and changed labels.
    ///   - credentials: nil keeps the service's credentials.
    /// - Throws: `notFound` if there is no such service.
    package func updateService(
        _ id: String, replicas: Int, labels: [String: String], credentials: RegistryCredentials?
    ) async throws(EngineError) {
        let what = "cannot change service \(id)"
        var tries = 0
        while true {
            let now = try await ask(.GET, "/services/\(Self.escaped(id))", doing: what)
            let (index, body) = try Self.changed(now, replicas: replicas, labels: labels, doing: what)
            do throws(EngineError) {
                try await ask(
                    .POST, "/services/\(Self.escaped(id))/update",
                    query: [("version", "\(index)"), ("registryAuthFrom", "spec")], body: .bytes(body),
                    contentType: "application/json", headers: Self.headers(credentials), doing: what)
                return
            } catch {
                tries += 1
                guard EngineMessage.changedMeanwhile.isSaid(in: error.description), tries < Self.triesMax else {
                    throw error
                }
            }
        }
    }

    /// Changes the number of tasks and the labels in a service's spec. Keeps the fields that this program does not
    /// know.
    private static func changed(
        _ answer: [UInt8], replicas: Int, labels: [String: String], doing what: String
    ) throws(EngineError) -> (index: UInt64, body: [UInt8]) {
        guard let service = try? JSONSerialization.jsonObject(with: Data(answer)) as? [String: Any],
            let index = (service["Version"] as? [String: Any])?["Index"] as? UInt64,
            var spec = service["Spec"] as? [String: Any]
        else { throw EngineError(.failed, "\(what): the engine's description of the service cannot be understood") }
        spec["Mode"] = ["Replicated": ["Replicas": replicas]]
        spec["Labels"] = (spec["Labels"] as? [String: String] ?? [:]).merging(labels) { $1 }
        guard let body = try? JSONSerialization.data(withJSONObject: spec) else {
            throw EngineError(.failed, "\(what): the new description of the service cannot be written")
        }
        return (index, Array(body))
    }

    /// Removes a service. Does nothing if there is no such service.
    package func removeService(_ id: String) async throws(EngineError) {
        try await removing { () async throws(EngineError) in
            try await ask(.DELETE, "/services/\(Self.escaped(id))", doing: "cannot remove service \(id)")
        }
    }

    /// Follows the output of a service's tasks from `since` (seconds since 1970) on, until the service is removed.
    package func followService(
        _ id: String, since: Double, _ receive: (SwarmLogLine) -> Void
    ) async throws(EngineError) {
        var messages = LogMessages()
        try await stream(
            .GET, "/services/\(Self.escaped(id))/logs",
            query: [
                ("follow", "1"), ("stdout", "1"), ("stderr", "1"), ("details", "1"),
                ("since", String(format: "%.9f", since)),
            ], doing: "cannot follow what service \(id) writes"
        ) { part throws(EngineError) in
            messages.feed(part.readableBytesView) { output, message in
                if let line = SwarmLogLine(message: message, output: output) { receive(line) }
            }
        }
    }

    // MARK: Tasks and nodes

    /// All tasks of all services with all of these labels.
    package func tasks(labels: [String: String]) async throws(EngineError) -> [SwarmTask] {
        try await ask(
            [TaskAnswer].self, .GET, "/tasks", query: [("filters", Self.filter(labels))], doing: "cannot list tasks"
        ).map { task in
            SwarmTask(
                id: task.ID, service: task.ServiceID, node: task.NodeID ?? "", state: task.Status.State,
                wanted: task.DesiredState, message: task.Status.Err ?? "")
        }
    }

    /// All nodes of the Swarm.
    package func nodes() async throws(EngineError) -> [SwarmNode] {
        try await ask([NodeAnswer].self, .GET, "/nodes", doing: "cannot list nodes").map {
            SwarmNode(id: $0.ID, name: $0.Description.Hostname, state: $0.Status.State)
        }
    }

    /// Calls `receive` whenever a node or service has changed. Changes of tasks have no events.
    package func followSwarm(_ receive: () -> Void) async throws(EngineError) {
        try await stream(
            .GET, "/events", query: [("filters", #"{"type":["node","service"]}"#)], doing: "cannot follow the engine"
        ) { _ throws(EngineError) in receive() }
    }

    // MARK: Networks and secrets

    /// The network of this name. Nil if there is none.
    package func network(_ name: String) async throws(EngineError) -> SwarmNetwork? {
        do throws(EngineError) {
            let answer = try await ask(
                NetworkAnswer.self, .GET, "/networks/\(Self.escaped(name))", doing: "cannot ask for network \(name)")
            return SwarmNetwork(
                id: answer.Id, driver: answer.Driver, isEncrypted: answer.Options?["encrypted"] != nil,
                isAttachable: answer.Attachable ?? false)
        } catch {
            if error.kind == .notFound { return nil }
            throw error
        }
    }

    /// Creates an overlay network. Plain containers may join it too. Throws `conflict` if the name is taken.
    package func createOverlay(
        _ name: String, isEncrypted: Bool, labels: [String: String]
    ) async throws(EngineError) {
        try await ask(
            .POST, "/networks/create",
            body: try Self.json(
                NetworkBody(Name: name, Labels: labels, Options: isEncrypted ? ["encrypted": ""] : [:])),
            contentType: "application/json", doing: "cannot create network \(name)")
    }

    /// Creates a secret.
    ///
    /// - Returns: the secret's id.
    package func createSecret(
        _ name: String, _ content: [UInt8], labels: [String: String]
    ) async throws(EngineError) -> String {
        try await ask(
            Identified.self, .POST, "/secrets/create",
            body: try Self.json(
                SecretBody(Name: name, Labels: labels, Data: Foundation.Data(content).base64EncodedString())),
            contentType: "application/json", doing: "cannot create secret \(name)"
        ).ID
    }

    /// The ids of all secrets with all of these labels, by name.
    package func secrets(labels: [String: String]) async throws(EngineError) -> [String: String] {
        let found = try await ask(
            [SecretAnswer].self, .GET, "/secrets", query: [("filters", Self.filter(labels))],
            doing: "cannot list secrets")
        return Dictionary(found.map { ($0.Spec.Name, $0.ID) }) { first, _ in first }
    }

    /// Removes a secret. Does nothing if there is no such secret. Fails while a service uses the secret.
    package func removeSecret(_ id: String) async throws(EngineError) {
        try await removing { () async throws(EngineError) in
            try await ask(.DELETE, "/secrets/\(Self.escaped(id))", doing: "cannot remove secret \(id)")
        }
    }

    // MARK: Parts

    /// Runs `body`, which removes something. It may be gone already.
    private func removing(_ body: () async throws(EngineError) -> Void) async throws(EngineError) {
        do throws(EngineError) { try await body() } catch {
            guard error.kind == .notFound else { throw error }
        }
    }

    private static func escaped(_ name: String) -> String { EngineEndpoint.escaped(name, keeping: []) }

    private static func headers(_ credentials: RegistryCredentials?) -> [(String, String)] {
        credentials.map { [("X-Registry-Auth", $0.header)] } ?? []
    }

    static func filter(_ labels: [String: String]) -> String {
        let filter = ["label": labels.map { "\($0.key)=\($0.value)" }.sorted()]
        return (try? JSONEncoder().encode(filter)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    private struct Identified: Decodable {
        var ID: String
    }

    private struct ServiceAnswer: Decodable {
        struct VersionAnswer: Decodable {
            var Index: UInt64
        }

        struct SpecAnswer: Decodable {
            struct ModeAnswer: Decodable {
                struct ReplicatedAnswer: Decodable {
                    var Replicas: Int?
                }

                var Replicated: ReplicatedAnswer?
            }

            var Name: String
            var Labels: [String: String]?
            var Mode: ModeAnswer?
            var TaskTemplate: TemplateAnswer?
        }

        struct TemplateAnswer: Decodable {
            struct ContainerAnswer: Decodable {
                struct SecretAnswer: Decodable {
                    var SecretID: String
                }

                var Secrets: [SecretAnswer]?
            }

            var ContainerSpec: ContainerAnswer?
        }

        var ID: String
        var Version: VersionAnswer
        var Spec: SpecAnswer

        var state: SwarmServiceState {
            SwarmServiceState(
                id: ID, name: Spec.Name, labels: Spec.Labels ?? [:], index: Version.Index,
                replicas: Spec.Mode?.Replicated?.Replicas ?? 0,
                secrets: Spec.TaskTemplate?.ContainerSpec?.Secrets?.map(\.SecretID) ?? [])
        }
    }

    private struct TaskAnswer: Decodable {
        struct StatusAnswer: Decodable {
            var State: String
            var Err: String?
        }

        var ID: String
        var ServiceID: String
        var NodeID: String?
        var Status: StatusAnswer
        var DesiredState: String
    }

    private struct NodeAnswer: Decodable {
        struct DescriptionAnswer: Decodable {
            var Hostname: String
        }

        struct StatusAnswer: Decodable {
            var State: String
        }

        var ID: String
        var Description: DescriptionAnswer
        var Status: StatusAnswer
    }

    private struct NetworkAnswer: Decodable {
        var Id: String
        var Driver: String
        var Attachable: Bool?
        var Options: [String: String]?
    }

    private struct NetworkBody: Encodable {
        var Name: String
        var CheckDuplicate = true
        var Driver = "overlay"
        var Attachable = true
        var Labels: [String: String]
        var Options: [String: String]
    }

    private struct SecretBody: Encodable {
        var Name: String
        var Labels: [String: String]
        var Data: String
    }

    private struct SecretAnswer: Decodable {
        struct SpecAnswer: Decodable {
            var Name: String
        }

        var ID: String
        var Spec: SpecAnswer
    }
}
