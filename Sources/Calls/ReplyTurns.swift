/// Learns how the thread that delivers replies goes through its work, turn by turn, so that a front can write the
/// replies of one turn together. To write each of them alone costs a system call and a wake-up of its client.
///
/// All methods run on the thread that delivers the replies. They must not block.
package protocol ReplyTurns: AnyObject, Sendable {
    /// Several replies follow on this thread. What is written to a connection may wait for the rest until `endBurst`,
    /// which follows soon.
    func beginBurst()
    /// The replies were delivered: everything that waits is written now.
    func endBurst()
    /// Everything that was there has been delivered.
    func endTurn()
}
