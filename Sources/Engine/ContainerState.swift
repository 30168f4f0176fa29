/// What an engine knows of a container at the moment.
package struct ContainerState: Sendable, Equatable {
    package var isRunning: Bool
    /// How it ended last; what stands here while it runs means nothing.
    package var exit: ContainerExit

    package init(isRunning: Bool, exit: ContainerExit) {
        self.isRunning = isRunning
        self.exit = exit
    }
}
