internal import FunctionConfig
internal import Platform

/// All limits of the gateway, except those of its fronts.
package struct Limits: Sendable, Equatable {
    /// The largest size of an input or a reply, in bytes.
    package var messageBytes = 64 << 20
    /// The largest size of a call's metadata, in bytes.
    package var metadataBytes = 8 << 10
    /// How many calls of one function may wait, unless its config says otherwise.
    package var queue = 1_000
    /// The largest size of the inputs of all waiting calls together, in bytes.
    package var queuedBytes = 256 << 20
    /// How many functions in a chain may wait for one another's replies.
    package var chainDepth = 8
    /// The longest a call may take, unless the function's config says otherwise.
    package var callTimeout = TimeoutConfig.callDefault
    /// The longest a constructor may take, unless the function's config says otherwise.
    package var startTimeout = TimeoutConfig.startDefault
    /// The longest an environment's build may take, unless the function's config says otherwise.
    package var buildTimeout = TimeoutConfig.buildDefault
    /// How long a function with `replicas.min` 0 may be without a call, unless its config says otherwise.
    package var idleTimeout = TimeoutConfig.idleDefault
    /// How long the load must have been lower before the number of replicas goes down.
    package var scaleDownWindow = Duration.seconds(60)
    /// How many versions of a function are kept, including those that get calls.
    package var versions = 10
    /// How long the gateway still serves after it is told to stop, while health says NOT_SERVING. With zero it stops
    /// serving at once.
    package var lameDuck = Duration.zero
    /// How many constructors run at once. The default is one for each processor.
    package var starts = Processors.count
    /// How long accepted calls may go on after the gateway is told to stop.
    package var drain = Duration.seconds(30)
    /// How long a process may take to end before it is killed.
    package var stop = Duration.seconds(5)
    /// How long a handler may go on beyond `timeout.call` before its replica is killed.
    package var overrunGrace = Duration.seconds(1)
    /// The longest line of a log, in bytes. Longer lines are cut.
    package var logLineBytes = 64 << 10
    /// The size of one file of a log, in bytes.
    package var logFileBytes = 10_000_000
    /// How many files a log has.
    package var logFiles = 5
    /// How fast a log may grow, in bytes a second. What comes faster is dropped.
    package var logRateBytes = 1 << 20
    /// How much of one function's log may wait for the disk, in bytes. What is more is dropped.
    package var logQueueBytes = 1 << 20
    /// How many functions' logs are written at a time.
    package var logWriters = 16
    /// How much of the gateway's own log may wait for the reader of standard error, in bytes. What is more is dropped.
    package var ownLogQueueBytes = 1 << 20
    /// How long the gateway may take to write its logs at the end.
    package var logFlush = Duration.seconds(2)
    /// How long a part of the gateway may make no progress before health says so.
    package var stallTimeout = Duration.seconds(10)
    /// How long the log of a function is kept after the function was deleted or its deploy failed.
    package var logKept = Duration.seconds(86_400)
    /// The largest size of a bundle, in bytes.
    package var bundleBytes = 8 << 30
    /// How many files a bundle may hold.
    package var bundleFiles = 100_000
    /// How long a bundle is kept that was uploaded and is not deployed.
    package var uploadsUnused = Duration.seconds(3_600)
    /// How long an environment is kept that no kept version needs.
    package var environmentsUnused = Duration.seconds(30 * 86_400)

    package init() {}
}
