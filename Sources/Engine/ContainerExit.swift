/// How a container ended.
package struct ContainerExit: Sendable, Equatable {
    /// Of its first process; 128 more than a signal's number where one ended it.
    package var status: Int32
    /// Whether something in it was killed for want of memory.
    package var isOutOfMemory: Bool

    package init(status: Int32, isOutOfMemory: Bool) {
        self.status = status
        self.isOutOfMemory = isOutOfMemory
    }
}
