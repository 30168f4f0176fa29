internal import Calls

/// Tells fronts when several replies follow one another, so that they write them together. Each thread of the links has
/// its own, and uses it alone.
///
/// A reply that comes alone is written at once. In a burst a reply waits for at most 31 others.
final class ReplyBurst {
    /// After so many replies everything is written.
    private static let repliesMax = 32

    private let turns: (any ReplyTurns)?
    private var isOpen = false
    private var replies = 0

    init(_ turns: (any ReplyTurns)?) {
        self.turns = turns
    }

    /// Several replies are about to be delivered.
    func begin() {
        guard !isOpen, let turns else { return }
        isOpen = true
        turns.beginBurst()
    }

    /// A reply, or a piece of one, was delivered.
    ///
    /// - Parameter isLarge: whether it takes long to write. Then no reply waits for another one.
    func noteReply(isLarge: Bool = false) {
        guard isOpen else { return }
        replies += 1
        guard isLarge || replies >= Self.repliesMax else { return }
        replies = 0
        turns?.endBurst()
        turns?.beginBurst()
    }

    /// The turn is over.
    func end() {
        if isOpen {
            isOpen = false
            replies = 0
            turns?.endBurst()
        }
        turns?.endTurn()
    }
}
