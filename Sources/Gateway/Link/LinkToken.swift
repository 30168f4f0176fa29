/// The secret that tells which replica a watcher is: 128 random bits, given to one process, good for one link.
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
}
