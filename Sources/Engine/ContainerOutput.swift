/// Where a container wrote something.
package enum ContainerOutput: Sendable, Equatable {
    case standardOutput
    case standardError
}
