/// The secret that tells whose watcher it is: 128 random bits, given to one process and good for one link, or to all
/// replicas of a service and good for as many as there are.
struct LinkToken: Sendable, Hashable {
    let text: String

    init() {
        var generator = SystemRandomNumberGenerator()
        let digits = (0..<4).map { _ in
            let word = String(UInt32.random(in: .min ... .max, using: &generator), radix: 16)
            return String(repeating: "0", count: 8 - word.count) + word
        }
        text = digits.joined()
    }

    /// One that was kept.
    init(text: String) {
        self.text = text
    }
}
