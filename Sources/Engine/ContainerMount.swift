/// A folder or file that a container has from outside.
package struct ContainerMount: Sendable, Equatable {
    /// Where it lies on the engine's machine.
    package var source: String
    /// Where the container sees it.
    package var target: String

    package init(source: String, target: String) {
        self.source = source
        self.target = target
    }
}
