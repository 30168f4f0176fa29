/// How many replicas a function has: `replicas` in the config, a number or `{min, max}`.
package struct ReplicaRange: Sendable, Equatable {
    package var min: Int
    package var max: Int

    package init(min: Int, max: Int) {
        self.min = min
        self.max = max
    }
}
