internal import Environments
internal import FunctionConfig
internal import Glibc
internal import Platform

/// The driver's program nvidia-smi, for hosts without the driver's library. It does not show the parts (MIG) of a
/// device.
enum NVIDIASMI {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private static let name = "nvidia-smi"
    private static let timeout = Duration.seconds(30)
    /// The most lines that are read.
    private static let linesMax = 1_000

    /// - Parameters:
    ///   - launcher: the path of `dcf-watcher`.
    ///   - variables: the gateway's own environment; the program is looked for on its PATH.
    static func devices(launcher: String, variables: [String: String]) async throws(Failure) -> [GPUDevice] {
        let folders = (variables["PATH"] ?? "").split(separator: ":")
        guard
            let program = folders.map({ folder -> String in "\(folder)/\(name)" })
                .first(where: { access($0, X_OK) == 0 })
        else {
            throw Failure(description: "\(name) is not on the gateway's PATH")
        }
        let command = ChildCommand(
            launcher: launcher,
            arguments: [program, "--query-gpu=uuid,name,memory.total", "--format=csv,noheader"],
            variables: EnvironmentVariables.forProbe(variables), folder: "/")
        let lines = Lock<[String]>([])
        let outcome: ChildCommand.Outcome
        do throws(ChildCommandError) {
            outcome = try await command.run(timeout: timeout) { line in
                lines.withLock { if $0.count < linesMax { $0.append(line) } }
            }
        } catch { throw Failure(description: "\(name): \(error)") }
        let said = lines.withLock { $0 }
        guard outcome.isSuccess else {
            let words = said.first { !$0.isEmpty }.map { ": \($0.prefix(200))" } ?? ""
            throw Failure(description: "\(name) ended with \(outcome)\(words)")
        }
        return parse(said)
    }

    /// Reads one device from each line: `GPU-..., NVIDIA H200, 143771 MiB`. Other lines are ignored.
    static func parse(_ lines: [String]) -> [GPUDevice] {
        var devices: [GPUDevice] = []
        for line in lines {
            let fields = line.split(separator: ",").map { field in
                String(field.drop { $0 == " " }.reversed().drop { $0 == " " || $0 == "\r" }.reversed())
            }
            guard fields.count == 3, fields[0].hasPrefix("GPU-") else { continue }
            let memory = ByteSize.bytes(of: fields[2].filter { $0 != " " }) ?? 0
            devices.append(
                GPUDevice(uuid: fields[0], number: "\(devices.count)", name: fields[1], memory: memory))
        }
        return devices
    }
}
