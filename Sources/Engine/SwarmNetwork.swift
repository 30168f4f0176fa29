/// A network of an engine.
package struct SwarmNetwork: Sendable, Equatable {
    package var id: String
    package var driver: String
    package var isEncrypted: Bool
    package var isAttachable: Bool

    package init(id: String, driver: String, isEncrypted: Bool, isAttachable: Bool) {
        self.id = id
        self.driver = driver
        self.isEncrypted = isEncrypted
        self.isAttachable = isAttachable
    }
}
