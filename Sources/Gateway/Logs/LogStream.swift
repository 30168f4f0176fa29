/// Where a line of a function's log came from.
package enum LogStream: String, Sendable, Hashable {
    case stdout
    case stderr
    /// Said by the gateway about the function.
    case gateway
}
