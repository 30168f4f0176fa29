/// The paths of every RPC that a gateway serves, as they stand in a call's `:path`.
package enum GatewayMethod {
    package static let invoke = "/pb.Gateway/Invoke"
    package static let invokes = "/pb.Gateway/Invokes"
    package static let invokeBytes = "/pb.Gateway/InvokeBytes"

    package static let list = "/pb.Gateway/List"
    package static let deploy = "/pb.Gateway/Deploy"
    package static let update = "/pb.Gateway/Update"
    package static let delete = "/pb.Gateway/Delete"
    package static let getMeta = "/pb.Gateway/GetMeta"
    package static let getLog = "/pb.Gateway/GetLog"
    package static let replicaUpdate = "/pb.Gateway/ReplicaUpdate"
    package static let info = "/pb.Gateway/Info"
    package static let healthCheck = "/pb.Gateway/HealthCheck"

    package static let upload = "/pb.Gateway/Upload"
    package static let deployWatch = "/pb.Gateway/DeployWatch"
    package static let followLog = "/pb.Gateway/FollowLog"
    package static let restart = "/pb.Gateway/Restart"
    package static let versions = "/pb.Gateway/Versions"
    package static let rollback = "/pb.Gateway/Rollback"
    package static let setTraffic = "/pb.Gateway/SetTraffic"

    package static let check = "/grpc.health.v1.Health/Check"
    package static let watch = "/grpc.health.v1.Health/Watch"

    package static let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    package static let reflectionAlpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
}
