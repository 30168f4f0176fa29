package import FunctionConfig

/// How many replicas a version should have for the calls that it gets. A pure value: samples come from outside, a few
/// times in a second.
///
/// Enough replicas are needed to work on all calls at once, including those that wait. More replicas are started when
/// more have been needed for a second. Fewer are kept when fewer have been needed for all of `window`: then as many as
/// the highest need in that time. So a load that comes and goes does not start and stop replicas.
package struct ScalePolicy: Sendable {
    package struct Settings: Sendable, Equatable {
        /// The range of the number of replicas. With a minimum of 0 the version is stopped after `idle` without a call.
        package var replicas: ReplicaRange
        /// How many calls one replica works on at a time.
        package var capacity: Int
        package var window: Duration
        package var idle: Duration

        package init(replicas: ReplicaRange, capacity: Int, window: Duration, idle: Duration) {
            self.replicas = replicas
            self.capacity = capacity
            self.window = window
            self.idle = idle
        }
    }

    /// A look at the load.
    package struct Sample: Sendable, Equatable {
        /// How many calls replicas have or wait.
        package var load: Int
        /// How many calls the version has had, ever.
        package var calls: UInt64
        /// How many replicas there are, including those that still start.
        package var replicas: Int
        /// How many of these replicas take calls.
        package var ready: Int

        package init(load: Int, calls: UInt64, replicas: Int, ready: Int) {
            self.load = load
            self.calls = calls
            self.replicas = replicas
            self.ready = ready
        }
    }

    package enum Decision: Sendable, Equatable {
        case keep
        case scale(to: Int)
        /// Stop all replicas: the version has been idle.
        case stop
    }

    /// How long more replicas must be needed before more are started.
    package static let pressureTime = Duration.seconds(1)

    private struct Pressure {
        var since: Duration
        var sum = 0
        var samples = 0
    }

    package let settings: Settings
    private var pressure: Pressure?
    /// The highest needs within the window, each less than the one before it.
    private var peaks: [(at: Duration, needed: Int)] = []
    private var since: Duration?
    private var lastUse: Duration?
    private var calls: UInt64 = 0

    package init(_ settings: Settings) {
        self.settings = settings
    }

    /// Decides on the number of replicas from a new sample.
    ///
    /// - Parameter now: the time since some fixed moment. It never goes back.
    package mutating func decide(_ sample: Sample, at now: Duration) -> Decision {
        let needed = needed(for: sample.load)
        if since == nil { since = now }
        if lastUse == nil || sample.load > 0 || sample.calls != calls { lastUse = now }
        calls = sample.calls
        remember(needed, at: now)
        if settings.replicas.min == 0, let lastUse, now - lastUse >= settings.idle { return .stop }
        if let more = more(needed, sample, at: now) { return .scale(to: more) }
        guard let since, now - since >= settings.window, let peak = peaks.first?.needed, peak < sample.replicas else {
            return .keep
        }
        return .scale(to: peak)
    }

    private func needed(for load: Int) -> Int {
        let capacity = max(settings.capacity, 1)
        let needed = (load + capacity - 1) / capacity
        return min(max(needed, settings.replicas.min, 1), max(settings.replicas.max, 1))
    }

    private mutating func remember(_ needed: Int, at now: Duration) {
        peaks.removeAll { now - $0.at >= settings.window || $0.needed <= needed }
        peaks.append((at: now, needed: needed))
    }

    private mutating func more(_ needed: Int, _ sample: Sample, at now: Duration) -> Int? {
        // Until one replica is Ready, it is not known whether the constructor works.
        guard needed > sample.replicas, sample.ready > 0 else {
            pressure = nil
            return nil
        }
        var current = pressure ?? Pressure(since: now)
        current.sum += needed
        current.samples += 1
        pressure = current
        guard now - current.since >= Self.pressureTime else { return nil }
        pressure = nil
        return (current.sum + current.samples - 1) / current.samples
    }
}
