/// How a function's calls are divided between its versions: weights in per cent that add up to 100. A pure value.
package struct Traffic: Sendable, Equatable {
    /// One version's part of the calls.
    package struct Share: Sendable, Equatable {
        package let version: Int
        /// Above 0.
        package let weight: Int
    }

    /// Why weights do not divide the calls.
    package enum Problem: Error, Equatable, CustomStringConvertible {
        case sum(Int)
        case weight(version: Int, UInt64)
        case twice(version: Int)

        package var description: String {
            switch self {
            case .sum(let sum): "the weights add up to \(sum); they must add up to 100, for example 3=90 4=10"
            case .weight(let version, let weight): "version \(version): weight \(weight) is not from 0 to 100"
            case .twice(let version): "version \(version) is given twice"
            }
        }
    }

    /// The versions that get calls, the oldest first.
    package let shares: [Share]

    /// Sends all calls to one version.
    package init(version: Int) {
        shares = [Share(version: version, weight: 100)]
    }

    /// Checks the weights. A version may have weight 0.
    package init(_ weights: some Sequence<(version: Int, weight: UInt64)>) throws(Problem) {
        var shares: [Share] = []
        var seen = Set<Int>()
        for (version, weight) in weights {
            guard weight <= 100 else { throw .weight(version: version, weight) }
            guard seen.insert(version).inserted else { throw .twice(version: version) }
            if weight > 0 { shares.append(Share(version: version, weight: Int(weight))) }
        }
        let sum = shares.reduce(0) { $0 + $1.weight }
        guard sum == 100 else { throw .sum(sum) }
        self.shares = shares.sorted { $0.version < $1.version }
    }

    package func weight(of version: Int) -> Int {
        shares.first { $0.version == version }?.weight ?? 0
    }

    /// The newest version that gets calls: the one that the function shows as its own.
    package var newest: Int { shares.last?.version ?? 0 }

    /// The version with the largest share; the newest of them where several are equal.
    package var main: Int {
        shares.max { ($0.weight, $0.version) < ($1.weight, $1.version) }?.version ?? 0
    }

    /// Which of 100 points a caller's key falls on. It is the same point on every gateway; each function has its own.
    package static func point(of key: String, in function: String) -> Int {
        // FNV-1a, then mixed so that similar keys fall on different points.
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in function.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        hash = (hash ^ 0) &* 0x0000_0100_0000_01B3
        for byte in key.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        hash = (hash ^ (hash >> 32)) &* 0x9E37_79B9_7F4A_7C15
        return Int((hash ^ (hash >> 29)) % 100)
    }

    /// The point of the call with this number, where callers give no key. Any 100 calls in a row fall on all 100
    /// points, well mixed.
    package static func point(ofCall number: UInt64) -> Int {
        Int(number % 100 * 61 % 100)
    }
}
