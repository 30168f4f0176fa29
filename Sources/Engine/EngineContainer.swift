/// A container that an engine has, whether it runs or not.
package struct EngineContainer: Sendable, Equatable {
    package var id: String
    package var name: String
    package var image: String
    package var labels: [String: String]
    package var isRunning: Bool

    package init(id: String, name: String, image: String, labels: [String: String], isRunning: Bool) {
        self.id = id
        self.name = name
        self.image = image
        self.labels = labels
        self.isRunning = isRunning
    }
}
