import Environments
import Glibc
import SystemPackage
import TestSupport
import Testing

/// The stand-in for NVML, built from Tests/EndToEnd/support/nvml.c into a folder that is removed with this object.
final class StandInNVML {
    let folder: TemporaryFolder

    init(_ devices: String?) async throws {
        folder = try TemporaryFolder()
        let here = FilePath(#filePath)
        let root = here.removingLastComponent().removingLastComponent().removingLastComponent()
        let source = root.appending("EndToEnd/support/nvml.c").string
        let outcome = try await ChildCommand(
            launcher: nil,
            arguments: ["/usr/bin/env", "cc", "-shared", "-fPIC", "-o", "\(folder.path)/libnvidia-ml.so.1", source],
            variables: EnvironmentVariables.ours(), folder: folder.path
        ).run(timeout: .seconds(60)) { print($0) }
        try #require(outcome.isSuccess)
        if let devices { try folder.write("gpus", devices) }
    }

    var path: String { "\(folder.path)/libnvidia-ml.so.1" }
}
