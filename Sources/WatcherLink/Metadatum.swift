/// One pair of a call's or a reply's metadata.
package struct Metadatum: Sendable, Equatable {
    package var key: String
    package var value: String

    package init(key: String, value: String) {
        self.key = key
        self.value = value
    }
}
