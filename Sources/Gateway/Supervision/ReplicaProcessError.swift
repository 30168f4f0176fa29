/// Why a replica's process could not be started.
package struct ReplicaProcessError: Error, Sendable, Hashable, CustomStringConvertible {
    package let program: String
    package let reason: String

    package var description: String { "cannot start \(program): \(reason)" }
}
