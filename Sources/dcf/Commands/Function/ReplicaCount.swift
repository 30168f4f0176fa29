import ArgumentParser

/// How many replicas: a number, or from the least to the most, as `0..4`.
struct ReplicaCount: ExpressibleByArgument, Equatable {
    let least: UInt64
    let most: UInt64

    init?(argument: String) {
        if let number = UInt64(argument) {
            (least, most) = (number, number)
            return
        }
        guard let dots = argument.firstRange(of: ".."), let least = UInt64(argument[..<dots.lowerBound]),
            let most = UInt64(argument[dots.upperBound...])
        else { return nil }
        (self.least, self.most) = (least, most)
    }

    var isRange: Bool { least != most }

    var description: String {
        isRange ? "\(least) to \(most) replicas" : "\(most) \(most == 1 ? "replica" : "replicas")"
    }
}
