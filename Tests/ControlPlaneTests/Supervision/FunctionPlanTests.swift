import Calls
@testable import ControlPlane
@testable import Environments
import FunctionConfig
import Foundation
import Testing

@Suite struct FunctionPlanTests {
    private func settings(_ yaml: String) throws -> [String: Any] {
        let name = try FunctionName("f")
        let config = try FunctionConfig.parse(yaml: yaml, name: name)
        let record = VersionRecord(
            name: "f", version: 3, config: yaml, bundle: "", replicas: ReplicaRange(min: 1, max: 1), createdAt: 0)
        let plan = FunctionPlan(
            record: record, config: config,
            source: .process(
                ProcessSource(
                    folder: "/f",
                    python: PythonEnvironment(python: "/p", version: PythonVersion(3, 12), key: nil, wasBuilt: false))),
            route: RouteSettings(callTimeout: .seconds(60), queueBound: 10),
            startTimeout: .milliseconds(1_500))
        let object = try JSONSerialization.jsonObject(with: Data(WatcherSettings(plan: plan).json))
        return try #require(object as? [String: Any])
    }

    @Test func aWatcherIsToldHowToCall() throws {
        let plain = try settings("{}")
        #expect(plain["concurrency"] as? Int == 1)
        #expect(plain["batch"] is NSNull)
        #expect(plain["warmup"] is NSNull)
        #expect(plain["stop"] as? Double == 5)
        #expect(plain["cancel"] as? String == "flag")
        #expect((plain["timeout"] as? [String: Double])?["start"] == 1.5)

        let full = try settings(
            "batch: {max_size: 16, retry: false}\ncancel: raise\nwarmup: {input: \"a \\\"line\\\"\\n\\u2028\"}\n")
        let batch = try #require(full["batch"] as? [String: Any])
        #expect(batch["max_size"] as? Int == 16)
        #expect(batch["retry"] as? Bool == false)
        #expect(full["cancel"] as? String == "raise")
        #expect((full["warmup"] as? [String: String])?["input"] == "a \"line\"\n\u{2028}")

        let file = try settings("concurrency: 1024\nwarmup: {file: data/first.png}\n")
        #expect(file["concurrency"] as? Int == 1_024)
        #expect((file["warmup"] as? [String: String])?["file"] == "data/first.png")
    }
}
