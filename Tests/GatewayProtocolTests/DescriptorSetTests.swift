import FoundationEssentials
import SwiftProtobuf
import Testing

@testable import GatewayProtocol

@Suite struct DescriptorSetTests {
    @Test func holdsEveryFileAfterWhatItImports() throws {
        let files = try DescriptorSet.files()
        var seen: Set<String> = []
        for file in files {
            #expect(seen.isSuperset(of: file.dependency), "\(file.name) comes before something it imports")
            seen.insert(file.name)
        }
        #expect(
            seen.isSuperset(of: [
                "gateway.proto", "grpc/health/v1/health.proto", "grpc/reflection/v1/reflection.proto",
                "grpc/reflection/v1alpha/reflection.proto",
            ]))
    }

    @Test func namesTheSameMethodsAsGatewayMethod() throws {
        var paths: Set<String> = []
        for file in try DescriptorSet.files() {
            for service in file.service {
                paths.formUnion(service.method.map { "/\(file.package).\(service.name)/\($0.name)" })
            }
        }
        #expect(
            paths == [
                GatewayMethod.invoke.path, GatewayMethod.invokes.path, GatewayMethod.invokeBytes.path,
                GatewayMethod.list.path, GatewayMethod.deploy.path, GatewayMethod.update.path,
                GatewayMethod.delete.path,
                GatewayMethod.getMeta.path, GatewayMethod.getLog.path, GatewayMethod.replicaUpdate.path,
                GatewayMethod.info.path,
                GatewayMethod.healthCheck.path,
                GatewayMethod.upload.path, GatewayMethod.deployWatch.path, GatewayMethod.followLog.path,
                GatewayMethod.restart.path,
                GatewayMethod.versions.path, GatewayMethod.rollback.path, GatewayMethod.setTraffic.path,
                GatewayMethod.check.path, GatewayMethod.watch.path,
                GatewayMethod.reflection.path, GatewayMethod.reflectionAlpha.path,
            ])
    }
}

/// Tests the field numbers of the original: a client that was built years ago sends and reads exactly these bytes.
@Suite struct WireFormatTests {
    @Test func requestIsServiceOneInputTwo() throws {
        var request = Pb_InvokeServiceRequest()
        request.service = "echo"
        request.input = Data([1, 2, 255])
        let bytes: [UInt8] = try request.serializedBytes()
        #expect(bytes == [0x0A, 4] + Array("echo".utf8) + [0x12, 3, 1, 2, 255])
    }

    @Test func repliesAreFieldOne() throws {
        var text = Pb_Message()
        text.msg = "hi"
        #expect(try text.serializedBytes() as [UInt8] == [0x0A, 2, 0x68, 0x69])
        var bytes = Pb_Messages()
        bytes.output = Data([0xFF])
        #expect(try bytes.serializedBytes() as [UInt8] == [0x0A, 1, 0xFF])
    }

    @Test func originalFieldNumbersNeverMove() throws {
        let originals: [String: [String: Int32]] = [
            "Message": ["Msg": 1],
            "Messages": ["Output": 1],
            "InvokeServiceRequest": ["Service": 1, "Input": 2],
            "CreateFunctionRequest": [
                "Service": 1, "Image": 2, "EnvVars": 3, "Labels": 4, "Annotations": 5, "Constraints": 6, "Secrets": 7,
                "RegistryAuth": 8, "Limits": 9, "Requests": 10, "MinReplicas": 11, "MaxReplicas": 12,
            ],
            "FunctionResources": ["Memory": 1, "CPU": 2, "GPU": 3],
            "DeleteFunctionRequest": ["FunctionName": 1],
            "FunctionRequest": ["FunctionName": 1],
            "ScaleServiceRequest": ["ServiceName": 1, "Replicas": 2],
            "Functions": ["Functions": 1],
            "Function": [
                "Name": 1, "Image": 2, "InvocationCount": 3, "Replicas": 4, "AvailableReplicas": 5, "Annotations": 6,
                "Labels": 7,
            ],
        ]
        let file = try #require(try DescriptorSet.files().first { $0.name == "gateway.proto" })
        for (name, fields) in originals {
            let message = try #require(file.messageType.first { $0.name == name })
            let below = message.field.filter { $0.number < 100 }
            #expect(Dictionary(uniqueKeysWithValues: below.map { ($0.name, $0.number) }) == fields, "\(name)")
        }
    }
}
