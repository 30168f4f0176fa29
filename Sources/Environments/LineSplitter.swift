/// Cuts a stream of bytes into lines of text, invalid UTF-8 replaced; never holds more than one line of the limit.
struct LineSplitter {
    /// The longest line in bytes; what is longer comes as several.
    let limit: Int
    private var pending: [UInt8] = []

    init(limit: Int) {
        self.limit = limit
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer, each: (String) -> Void) {
        for byte in bytes {
            if byte == 0x0A {
                finish(each: each, always: true)
            } else {
                pending.append(byte)
                if pending.count >= limit { finish(each: each) }
            }
        }
    }

    /// Hands out what has no line end yet.
    mutating func finish(each: (String) -> Void, always: Bool = false) {
        if pending.last == 0x0D { pending.removeLast() }
        if always || !pending.isEmpty { each(String(decoding: pending, as: UTF8.self)) }
        pending.removeAll(keepingCapacity: true)
    }
}
