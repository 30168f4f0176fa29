/// A ``ContainerSpec`` in the form of the engine's API. Nil values are left out.
struct CreateContainerRequest: Encodable {
    private struct Host: Encodable {
        var Mounts: [MountBody]
        var Tmpfs: [String: String]
        var Memory: UInt64?
        var MemorySwap: UInt64?
        var NanoCpus: Int64?
        var PidsLimit: Int?
        var DeviceRequests: [DeviceRequest]?
        var CapDrop: [String]?
        var CapAdd: [String]?
        var SecurityOpt: [String]?
        var ReadonlyRootfs: Bool
        var NetworkMode: String?
        var LogConfig: LogBody?
        var AutoRemove: Bool
    }

    private struct MountBody: Encodable {
        var `Type` = "bind"
        var Source: String
        var Target: String
        var ReadOnly: Bool
    }

    private struct DeviceRequest: Encodable {
        var Driver = "nvidia"
        var Count: Int?
        var DeviceIDs: [String]?
        var Capabilities = [["gpu"]]
    }

    private struct LogBody: Encodable {
        var `Type`: String
    }

    private var Image: String
    private var Env: [String]
    private var Labels: [String: String]
    private var User: String?
    private var OpenStdin: Bool
    private var StdinOnce: Bool
    private var AttachStdin: Bool
    private var HostConfig: Host

    init(_ spec: ContainerSpec) {
        Image = spec.image
        Env = spec.environment.map { "\($0.key)=\($0.value)" }.sorted()
        Labels = spec.labels
        User = spec.user
        (OpenStdin, StdinOnce, AttachStdin) = (spec.takesInput, spec.takesInput, spec.takesInput)
        let gpus: DeviceRequest? =
            switch spec.gpus {
            case .count(let count): DeviceRequest(Count: count)
            case .devices(let devices): DeviceRequest(DeviceIDs: devices)
            case nil: nil
            }
        HostConfig = Host(
            Mounts: spec.mounts.map { MountBody(Source: $0.source, Target: $0.target, ReadOnly: $0.isReadOnly) },
            Tmpfs: spec.temporary, Memory: spec.memory, MemorySwap: spec.memory,
            NanoCpus: spec.cpus.map { Int64($0 * 1e9) }, PidsLimit: spec.processesMax,
            DeviceRequests: gpus.map { [$0] },
            CapDrop: spec.capabilities == nil ? nil : ["ALL"], CapAdd: spec.capabilities,
            SecurityOpt: spec.mayGainPrivileges ? nil : ["no-new-privileges"], ReadonlyRootfs: spec.hasReadOnlyRoot,
            NetworkMode: spec.network, LogConfig: spec.keepsLogs ? nil : LogBody(Type: "none"),
            AutoRemove: spec.isRemovedAtEnd)
    }
}
