/// One thing that an engine tells while it builds, pulls or pushes.
package struct EngineProgress: Sendable, Equatable {
    /// A line for people, without its line feed.
    package var text: String
    /// The layer that it is about, where it is about one.
    package var layer: String?
    /// Whether it is only a new number for what was told before.
    package var isUpdate: Bool

    /// The whole of it.
    package var line: String { layer.map { "\($0): \(text)" } ?? text }

    package init(text: String, layer: String? = nil, isUpdate: Bool = false) {
        self.text = text
        self.layer = layer
        self.isUpdate = isUpdate
    }
}
