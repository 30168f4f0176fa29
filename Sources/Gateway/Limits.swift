internal import FunctionConfig
package import GRPC

/// Every bound of the gateway, by the name that `--limit NAME=VALUE` takes.
package struct Limits: Sendable, Equatable {
    /// The largest input or reply, in bytes.
    package var messageBytes = 64 << 20
    /// The most metadata of a call, in bytes.
    package var metadataBytes = 8 << 10
    /// Calls at a time on one connection.
    package var streams = 100
    /// Descriptors kept for what is not a connection.
    package var descriptorReserve = 64
    /// The highest descriptor number a connection may get.
    package var descriptors = 8_192
    /// What the gRPC core may hold for all connections together, in bytes.
    package var memoryQuotaBytes = 1 << 30
    /// What clients may do together, and one of them alone. What depends on the sizes above is set where they are given to a
    /// server: see `clients`.
    package var connections = ConnectionLimits()
    /// Waiting calls of one function, unless its config says otherwise.
    package var queue = 1_000
    /// Inputs of all waiting calls together, in bytes.
    package var queuedBytes = 256 << 20
    /// So many functions may wait for one another's replies.
    package var chainDepth = 8
    /// The longest a call may take, unless the function's config says otherwise.
    package var callTimeout = TimeoutConfig.callDefault
    /// The longest a constructor may take, unless the function's config says otherwise.
    package var startTimeout = TimeoutConfig.startDefault
    /// The longest an environment's build may take, unless the function's config says otherwise.
    package var buildTimeout = TimeoutConfig.buildDefault
    /// How long a function with `replicas.min` 0 may be without a call, unless its config says otherwise.
    package var idleTimeout = TimeoutConfig.idleDefault
    /// How long the load must have been lower before there are fewer replicas.
    package var scaleDownWindow = Duration.seconds(60)
    /// Versions of a function that are kept, those that get calls included.
    package var versions = 10
    /// How long the gateway serves on once it is told to stop, while health says NOT_SERVING; zero: not at all.
    package var lameDuck = Duration.zero
    /// Constructors that run at once: a processor for each.
    package var starts = max(CPUAffinity.allowed(0).count, 1)
    /// How long accepted calls may go on once the gateway is told to stop.
    package var drain = Duration.seconds(30)
    /// How long a process may take to end before it is killed.
    package var stop = Duration.seconds(5)
    /// How long a handler may go on beyond `timeout.call` before its replica is killed.
    package var overrunGrace = Duration.seconds(1)
    /// How long a connection may take to send the first 24 bytes.
    package var prefaceTimeout = Duration.seconds(10)
    /// A longer line of a log is cut, in bytes.
    package var logLineBytes = 64 << 10
    /// The size of one of a log's files, in bytes.
    package var logFileBytes = 10_000_000
    /// The files of a log together.
    package var logFiles = 5
    /// What comes faster into a log is dropped, in bytes a second.
    package var logRateBytes = 1 << 20
    /// Lines of one function that wait for the disk, in bytes; what is more is dropped.
    package var logQueueBytes = 1 << 20
    /// Functions' logs that are written at a time.
    package var logWriters = 16
    /// Lines of the gateway's own log that wait for whoever reads standard error, in bytes; what is more is dropped.
    package var ownLogQueueBytes = 1 << 20
    /// How long logs may take to be written at the end.
    package var logFlush = Duration.seconds(2)
    /// How long what must move may stand still before health says so.
    package var stallTimeout = Duration.seconds(10)
    /// How long the log of a function stays that is not deployed any more, or could not be.
    package var logKept = Duration.seconds(86_400)
    /// A bundle's size, in bytes.
    package var bundleBytes = 8 << 30
    /// Files in a bundle.
    package var bundleFiles = 100_000
    /// How long a bundle stays that was uploaded and is not deployed.
    package var uploadsUnused = Duration.seconds(3_600)
    /// How long an environment stays that no version which is kept needs.
    package var environmentsUnused = Duration.seconds(30 * 86_400)

    package init() {}
}
