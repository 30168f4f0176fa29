/// A replica that has devices, in words for people: `ocr@2 replica 1`.
package struct GPUHolder: Sendable, Hashable, CustomStringConvertible {
    package var function: String
    package var version: Int
    package var replica: Int

    package init(function: String, version: Int, replica: Int) {
        self.function = function
        self.version = version
        self.replica = replica
    }

    package var description: String { "\(function)@\(version) replica \(replica)" }
}
