package import FunctionConfig

/// How many replicas a version should have for the calls that it gets. A value: what is to be known comes from outside,
/// a few times in a second.
///
/// Needed is what can work on all calls at once, those that wait included. More are started when that has been above what
/// there is for a second; fewer are kept only when it has been below for all of `window`, and then as many as were needed
/// most in that time: a load that comes and goes does not start and stop anything.
package struct ScalePolicy: Sendable {
    package struct Settings: Sendable, Equatable {
        /// With min 0 it is stopped after `idle` without a call.
        package var replicas: ReplicaRange
        /// Calls that one replica works on at a time.
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
        /// Calls that replicas have, and those that wait.
        package var load: Int
        /// Calls that ever came.
        package var calls: UInt64
        /// Replicas that are there, those that still start included.
        package var replicas: Int
        /// Those of them that take calls.
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
        /// All replicas: it has been idle.
        case stop
    }

    /// How long more must be needed before more are started.
    package static let pressureTime = Duration.seconds(1)

    private struct Pressure {
        var since: Duration
        var sum = 0
        var samples = 0
    }

    package let settings: Settings
    private var pressure: Pressure?
    /// What was needed and when, each less than the one before it: the first is the most within the window.
    private var peaks: [(at: Duration, needed: Int)] = []
    private var since: Duration?
    private var lastUse: Duration?
    private var calls: UInt64 = 0

    package init(_ settings: Settings) {
        self.settings = settings
    }

    /// - Parameter now: the time since some fixed moment, never going back.
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
        // Until one is Ready nobody knows whether the constructor works.
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
