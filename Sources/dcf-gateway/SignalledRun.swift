import ControlPlane
import Gateway
import Glibc
import Logging
import Platform
import ServiceLifecycle
import UnixSignals

/// Runs the gateway until SIGTERM or SIGINT, which drain it. A second signal ends the process at once.
struct SignalledRun {
    private let gateway: Gateway
    private let logger: Logger
    private let output: OutputLog
    /// How long writing the last log lines may take when a second signal ends the process.
    private static let lastLineTime = Duration.milliseconds(100)

    init(_ gateway: Gateway, logger: Logger, output: OutputLog) {
        self.gateway = gateway
        self.logger = logger
        self.output = output
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        let services = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: gateway, successTerminationBehavior: .gracefullyShutdownGroup)],
                logger: logger))
        try await withThrowingTaskGroup(of: Void.self) { [logger, output] tasks in
            tasks.addTask { try await services.run() }
            tasks.addTask {
                // Ends when the services have ended, because the task is cancelled then.
                var isStopping = false
                for await signal in signals {
                    if isStopping {
                        logger.warning("a second signal (\(signal)): stopping at once")
                        output.flush(within: Self.lastLineTime)
                        _exit(1)
                    }
                    isStopping = true
                    await services.triggerGracefulShutdown()
                }
            }
            try await tasks.next()
            tasks.cancelAll()
        }
    }
}
