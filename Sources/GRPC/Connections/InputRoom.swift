/// The room that was taken for a message that waits. To be given back once.
package struct InputRoom: Sendable {
    let bytes: Int
    /// Nil when it is closed already: then nothing was taken.
    let connection: Connection?

    package func giveBack() {
        connection?.giveBack(room: bytes)
    }
}
