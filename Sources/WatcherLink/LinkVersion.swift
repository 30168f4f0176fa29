/// The versions of the link's protocol that this build speaks.
package enum LinkVersion {
    package static let supported: ClosedRange<UInt16> = 1...1

    /// The highest version that both sides speak.
    package static func negotiate(_ theirs: ClosedRange<UInt16>) throws(LinkError) -> UInt16 {
        guard theirs.overlaps(supported) else {
            throw .version(
                "the watcher speaks link versions \(theirs.lowerBound) to \(theirs.upperBound), this gateway "
                    + "\(supported.lowerBound) to \(supported.upperBound); deploy the function again with a watcher of "
                    + "the gateway's release")
        }
        return min(theirs.upperBound, supported.upperBound)
    }
}
