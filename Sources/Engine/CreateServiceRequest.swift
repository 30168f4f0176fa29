/// A ``ServiceSpec`` in the form of the engine's API. Nil values are left out.
struct CreateServiceRequest: Encodable {
    private struct Template: Encodable {
        var ContainerSpec: Container
        var Resources: ResourcesBody
        var RestartPolicy: Restart
        var Placement: PlacementBody
        var Networks: [Network]
    }

    private struct Container: Encodable {
        var Image: String
        var Env: [String]
        var Labels: [String: String]
        var User: String?
        var ReadOnly: Bool
        var CapabilityDrop: [String]?
        var CapabilityAdd: [String]?
        var StopGracePeriod: Int64
        var Mounts: [Mount]
        var Healthcheck = Health()
        var Secrets: [Secret]
    }

    private struct Mount: Encodable {
        struct Options: Encodable {
            // 1777
            var Mode = 0o1777
            var SizeBytes: UInt64?
        }

        var `Type` = "tmpfs"
        var Target: String
        var TmpfsOptions: Options
    }

    /// Switches the image's own health check off. The watcher reports when it is ready, and the check would end tasks
    /// that are slow to start.
    private struct Health: Encodable {
        var Test = ["NONE"]
    }

    private struct Secret: Encodable {
        struct Target: Encodable {
            var Name: String
            var UID: String
            var GID: String
            var Mode: UInt32
        }

        var File: Target
        var SecretID: String
        var SecretName: String
    }

    private struct ResourcesBody: Encodable {
        struct Limit: Encodable {
            var NanoCPUs: Int64?
            var MemoryBytes: UInt64?
            var Pids: Int?
        }

        struct Reservation: Encodable {
            var NanoCPUs: Int64?
            var MemoryBytes: UInt64?
            var GenericResources: [Generic]?
        }

        struct Generic: Encodable {
            struct Discrete: Encodable {
                var Kind: String
                var Value: Int
            }

            var DiscreteResourceSpec: Discrete
        }

        var Limits: Limit
        var Reservations: Reservation
    }

    private struct Restart: Encodable {
        var Condition = "any"
        var Delay: Int64
    }

    private struct PlacementBody: Encodable {
        struct Platform: Encodable {
            var Architecture: String
            var OS = "linux"
        }

        var Constraints: [String]
        var Platforms: [Platform]?
    }

    private struct Network: Encodable {
        var Target: String
    }

    private struct ModeBody: Encodable {
        struct Count: Encodable {
            var Replicas: Int
        }

        var Replicated: Count
    }

    /// Gives the service no virtual address: nothing connects to a task.
    private struct Endpoint: Encodable {
        var Mode = "dnsrr"
    }

    private var Name: String
    private var Labels: [String: String]
    private var TaskTemplate: Template
    private var Mode: ModeBody
    private var EndpointSpec = Endpoint()

    init(_ spec: ServiceSpec) {
        let container = spec.container
        let cpus = container.cpus.map { Int64($0 * 1e9) }
        Name = spec.name
        Labels = spec.labels
        TaskTemplate = Template(
            ContainerSpec: Container(
                Image: container.image, Env: container.environment.map { "\($0.key)=\($0.value)" }.sorted(),
                Labels: container.labels, User: container.user, ReadOnly: container.hasReadOnlyRoot,
                CapabilityDrop: container.capabilities == nil ? nil : ["ALL"], CapabilityAdd: container.capabilities,
                StopGracePeriod: Self.nanoseconds(spec.stopGrace),
                Mounts: container.temporary.keys.sorted().map {
                    Mount(Target: $0, TmpfsOptions: Mount.Options(SizeBytes: container.temporaryBytes))
                },
                Secrets: spec.secrets.map { secret in
                    Secret(
                        File: Secret.Target(
                            Name: secret.file, UID: "\(secret.user)", GID: "\(secret.user)", Mode: secret.mode),
                        SecretID: secret.id, SecretName: secret.name)
                }),
            Resources: ResourcesBody(
                Limits: .init(NanoCPUs: cpus, MemoryBytes: container.memory, Pids: container.processesMax),
                Reservations: .init(
                    NanoCPUs: cpus, MemoryBytes: container.memory,
                    GenericResources: spec.gpus == 0
                        ? nil : [.init(DiscreteResourceSpec: .init(Kind: "gpu", Value: spec.gpus))])),
            RestartPolicy: Restart(Delay: Self.nanoseconds(spec.restartDelay)),
            Placement: PlacementBody(
                Constraints: spec.constraints,
                Platforms: spec.architecture.isEmpty ? nil : [.init(Architecture: spec.architecture)]),
            Networks: [Network(Target: spec.network)])
        Mode = ModeBody(Replicated: .init(Replicas: spec.replicas))
    }

    private static func nanoseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
