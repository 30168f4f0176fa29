internal import FunctionConfig
internal import Locks
internal import Logging

/// Finds the GPUs of the host that the gateway may give away: through NVML, else through nvidia-smi, less what a
/// CUDA_VISIBLE_DEVICES in the gateway's own environment leaves out. Nothing is opened before the first look.
final class GPUInventory: Sendable {
    private typealias Answer = Result<[GPUDevice], NVMLLibrary.Failure>

    /// Names another NVML than the one that the loader finds.
    static let libraryVariable = "DCF_NVML"
    /// A driver that does not answer for so long hangs.
    private static let timeout = Duration.seconds(30)

    private let variables: [String: String]
    private let launcher: String
    private let logger: Logger
    /// A look that is under way, which all wait for that look at the same time.
    private let current = Lock<Promise<Answer>?>(nil)

    init(variables: [String: String], launcher: String, logger: Logger) {
        self.variables = variables
        self.launcher = launcher
        self.logger = logger
    }

    /// The devices that there are now, at least one.
    func look() async throws(GPUShortage) -> [GPUDevice] {
        let all = try await all()
        let list = variables[FunctionConfig.devicesVariable]
        let (devices, unknown) = VisibleDevices.restrict(all, to: list)
        if let unknown {
            logger.warning(
                "\(FunctionConfig.devicesVariable): \"\(unknown)\" names none of the \(all.count) GPUs; it and what follows do not count"
            )
        }
        guard !devices.isEmpty else {
            throw .none(
                reason: "\(FunctionConfig.devicesVariable)=\(list ?? "") in the gateway's environment leaves none of "
                    + "the \(all.count) that there are")
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
        if isNew, !BlockingThread.start({ [self] in finish(promise, Self.read(path)) }) {
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
