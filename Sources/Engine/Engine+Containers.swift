internal import Foundation
internal import NIOCore
internal import NIOHTTP1

extension Engine {
    /// Creates a container and does not start it.
    ///
    /// - Returns: the container's id.
    package func createContainer(_ spec: ContainerSpec) async throws(EngineError) -> String {
        let answer = try await ask(
            Created.self, .POST, "/containers/create", query: spec.name.map { [("name", $0)] } ?? [],
            body: try Self.json(CreateContainerRequest(spec)), contentType: "application/json",
            doing: "cannot create a container of \(spec.image)")
        return answer.Id
    }

    package func start(_ id: String) async throws(EngineError) {
        try await ask(.POST, "/containers/\(id)/start", doing: "cannot start container \(id.prefix(12))")
    }

    /// Sends SIGTERM, and SIGKILL after this many seconds. Does nothing if the container does not run.
    package func stop(_ id: String, seconds: Int) async throws(EngineError) {
        try await ask(
            .POST, "/containers/\(id)/stop", query: [("t", "\(seconds)")],
            doing: "cannot stop container \(id.prefix(12))")
    }

    /// Sends a signal to the first process. Does nothing if the container does not run.
    package func kill(_ id: String, signal: Int32) async throws(EngineError) {
        do throws(EngineError) {
            try await ask(
                .POST, "/containers/\(id)/kill", query: [("signal", "\(signal)")],
                doing: "cannot signal container \(id.prefix(12))")
        } catch {
            guard error.kind == .notFound || error.kind == .conflict else { throw error }
        }
    }

    /// Ends the container if it runs, and removes it with its anonymous volumes. Does nothing if there is no such
    /// container.
    package func remove(_ id: String) async throws(EngineError) {
        do throws(EngineError) {
            try await ask(
                .DELETE, "/containers/\(id)", query: [("force", "true"), ("v", "true")],
                doing: "cannot remove container \(id.prefix(12))")
        } catch {
            guard error.kind == .notFound else { throw error }
        }
    }

    /// Waits for the end of a container.
    package func wait(_ id: String) async throws(EngineError) -> ContainerExit {
        let answer = try await ask(
            Waited.self, .POST, "/containers/\(id)/wait", doing: "cannot wait for container \(id.prefix(12))")
        let isOutOfMemory = (try? await inspect(id))?.State.OOMKilled ?? false
        return ContainerExit(status: answer.StatusCode, isOutOfMemory: isOutOfMemory)
    }

    /// The number of a container's first process on this machine. 0 if the container does not run.
    package func pid(of id: String) async throws(EngineError) -> Int32 {
        try await inspect(id).State.Pid
    }

    /// Whether a container runs, and how it ended otherwise. Throws `notFound` if there is no such container.
    package func state(of id: String) async throws(EngineError) -> ContainerState {
        let state = try await inspect(id).State
        return ContainerState(
            isRunning: state.Running ?? (state.Pid > 0),
            exit: ContainerExit(status: state.ExitCode ?? 0, isOutOfMemory: state.OOMKilled))
    }

    /// The mounts of a container, found by its id, the beginning of its id, or its name. Throws `notFound` if there is
    /// no such container.
    package func mounts(of id: String) async throws(EngineError) -> [ContainerMount] {
        try await inspect(id).Mounts?.compactMap { mount in
            guard let source = mount.Source, !source.isEmpty else { return nil }
            return ContainerMount(source: source, target: mount.Destination)
        } ?? []
    }

    /// All containers with all of these labels, running or not.
    package func containers(labels: [String: String]) async throws(EngineError) -> [EngineContainer] {
        let answer = try await ask(
            [Listed].self, .GET, "/containers/json", query: [("all", "true"), ("filters", Self.filter(labels))],
            doing: "cannot list containers")
        return answer.map { one in
            EngineContainer(
                id: one.Id, name: one.Names.first.map { String($0.drop { $0 == "/" }) } ?? "", image: one.Image,
                labels: one.Labels ?? [:], isRunning: one.State == "running")
        }
    }

    private func inspect(_ id: String) async throws(EngineError) -> Inspected {
        try await ask(
            Inspected.self, .GET, "/containers/\(id)/json", doing: "cannot ask for container \(id.prefix(12))")
    }

    private struct Created: Decodable {
        var Id: String
    }

    private struct Waited: Decodable {
        var StatusCode: Int32
    }

    private struct Inspected: Decodable {
        struct StateAnswer: Decodable {
            var Pid: Int32
            var OOMKilled: Bool
            var Running: Bool?
            var ExitCode: Int32?
        }

        struct MountAnswer: Decodable {
            var Source: String?
            var Destination: String
        }

        var State: StateAnswer
        var Mounts: [MountAnswer]?
    }

    private struct Listed: Decodable {
        var Id: String
        var Names: [String]
        var Image: String
        var State: String
        var Labels: [String: String]?
    }
}
