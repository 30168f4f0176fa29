/// The RPCs that a gateway serves. The raw value is the path as in a call's `:path`.
package enum GatewayMethod: String, CaseIterable, Sendable {
    case invoke = "/pb.Gateway/Invoke"
    case invokes = "/pb.Gateway/Invokes"
    case invokeBytes = "/pb.Gateway/InvokeBytes"

    case list = "/pb.Gateway/List"
    case deploy = "/pb.Gateway/Deploy"
    case update = "/pb.Gateway/Update"
    case delete = "/pb.Gateway/Delete"
    case getMeta = "/pb.Gateway/GetMeta"
    case getLog = "/pb.Gateway/GetLog"
    case replicaUpdate = "/pb.Gateway/ReplicaUpdate"
    case info = "/pb.Gateway/Info"
    case healthCheck = "/pb.Gateway/HealthCheck"

    case upload = "/pb.Gateway/Upload"
    case deployWatch = "/pb.Gateway/DeployWatch"
    case followLog = "/pb.Gateway/FollowLog"
    case restart = "/pb.Gateway/Restart"
    case versions = "/pb.Gateway/Versions"
    case rollback = "/pb.Gateway/Rollback"
    case setTraffic = "/pb.Gateway/SetTraffic"

    case check = "/grpc.health.v1.Health/Check"
    case watch = "/grpc.health.v1.Health/Watch"

    case reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    case reflectionAlpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

    package var path: String { rawValue }

    /// The kind of an RPC: what its caller must be allowed to do.
    package enum Plane: Sendable {
        /// Call functions.
        case invoke
        /// Change what is deployed.
        case manage
        /// Look at what is deployed.
        case observe
    }

    package var plane: Plane {
        switch self {
        case .invoke, .invokes, .invokeBytes: .invoke
        case .deploy, .update, .delete, .replicaUpdate, .upload, .deployWatch, .restart, .rollback, .setTraffic: .manage
        case .list, .getMeta, .getLog, .info, .healthCheck, .followLog, .versions, .check, .watch, .reflection,
            .reflectionAlpha:
            .observe
        }
    }

    /// Whether the RPC starts functions, which may take long. It is cancelled when the gateway stops.
    package var isChange: Bool {
        switch self {
        case .deployWatch, .deploy, .update, .restart, .rollback, .setTraffic: true
        default: false
        }
    }
}
