internal import FunctionConfig
internal import Logging
internal import Platform

/// Finds the GPUs of the host that the gateway may lease to replicas.
///
/// It asks NVML, and nvidia-smi when NVML does not answer. It leaves out the devices that a CUDA_VISIBLE_DEVICES in the
/// gateway's own environment leaves out. It opens nothing before the first look. Any task may use it.
final class GPUInventory: Sendable {
    private typealias Answer = Result<[GPUDevice], NVMLLibrary.Failure>

    /// The variable with the path of another NVML than the one that the loader finds.
    static let libraryVariable = "DCF_NVML"
    /// A driver that has not answered after this time is taken to hang.
    private static let timeout = Duration.seconds(30)

    private let variables: [String: String]
    private let launcher: String
    private let logger: Logger
    /// The look that is under way. Tasks that look at the same time share it.
    private let current = Lock<Promise<Answer>?>(nil)

    init(variables: [String: String], launcher: String, logger: Logger) {
        self.variables = variables
        self.launcher = launcher
        self.logger = logger
    }

    /// Finds the devices that the host has now.
    ///
    /// - Returns: at least one device.
    func look() async throws(GPUShortage) -> [GPUDevice] {
        let all = try await all()
        let list = variables[FunctionConfig.devicesVariable]
        let (devices, unknown) = VisibleDevices.restrict(all, to: list)
        if let unknown {
            logger.warning(
                """
                \(FunctionConfig.devicesVariable): "\(unknown)" names none of the \(all.count) GPUs; it and the entries after \
                it are ignored
                """)
        }
        guard !devices.isEmpty else {
            throw .none(
                reason: "\(FunctionConfig.devicesVariable)=\(list ?? "") in the gateway's environment leaves none of "
                    + "the \(all.count) GPUs of this host")
        }
        return devices
    }

    private func all() async throws(GPUShortage) -> [GPUDevice] {
        let reason: String
        do throws(NVMLLibrary.Failure) {
            let devices = try await library().get()
            guard !devices.isEmpty else { throw NVMLLibrary.Failure(description: "NVML finds none") }
            return devices
        } catch { reason = error.description }
        do throws(NVIDIASMI.Failure) {
            let devices = try await NVIDIASMI.devices(launcher: launcher, variables: variables)
            guard !devices.isEmpty else { throw NVIDIASMI.Failure(description: "nvidia-smi finds none") }
            return devices
        } catch { throw .none(reason: "\(reason); \(error.description)") }
    }

    private func library() async -> Answer {
        let path = variables[Self.libraryVariable] ?? NVMLLibrary.defaultPath
        let (promise, isNew) = current.withLock { current -> (Promise<Answer>, Bool) in
            if let current { return (current, false) }
            let promise = Promise<Answer>()
            current = promise
            return (promise, true)
        }
        if isNew, !Thread.detached(name: "gpu-inventory", { [self] in finish(promise, Self.read(path)) }) {
            finish(promise, .failure(NVMLLibrary.Failure(description: "no thread can be started")))
        }
        return await promise.value(within: Self.timeout)
            ?? .failure(
                NVMLLibrary.Failure(description: "\(path) had not answered after \(Self.timeout.text)"))
    }

    private static func read(_ path: String) -> Answer {
        do throws(NVMLLibrary.Failure) {
            return .success(try NVMLLibrary.devices(path: path))
        } catch { return .failure(error) }
    }

    private func finish(_ promise: Promise<Answer>, _ answer: Answer) {
        current.withLock { $0 = nil }
        promise.settle(answer)
    }
}

/// Reads CUDA_VISIBLE_DEVICES as CUDA does: a list of numbers and UUIDs. A UUID may be shortened as long as it is
/// unique. The first entry that names no device ends the list.
package enum VisibleDevices {
    /// The devices that the list names, in its order.
    ///
    /// - Parameter list: nil stands for all devices.
    /// - Returns: the devices, and the entry that names no device, if there is one.
    package static func restrict(_ devices: [GPUDevice], to list: String?) -> (devices: [GPUDevice], unknown: String?) {
        guard let list else { return (devices, nil) }
        var chosen: [GPUDevice] = []
        for part in list.split(separator: ",", omittingEmptySubsequences: false) {
            let entry = part.trimmingBlanks
            guard let device = device(entry, of: devices) else {
                return (chosen, entry.isEmpty || entry == "-1" ? nil : entry)
            }
            if !chosen.contains(device) { chosen.append(device) }
        }
        return (chosen, nil)
    }

    private static func device(_ entry: String, of devices: [GPUDevice]) -> GPUDevice? {
        if let number = UInt(entry) {
            // CUDA takes the first part of a device in parts.
            return devices.first { $0.number == "\(number)" || $0.number.hasPrefix("\(number):") }
        }
        guard entry.hasPrefix("GPU-") || entry.hasPrefix("MIG-") else { return nil }
        let found = devices.filter { $0.uuid.hasPrefix(entry) }
        return found.count == 1 ? found.first : nil
    }
}

extension Substring {
    fileprivate var trimmingBlanks: String {
        String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }
}
