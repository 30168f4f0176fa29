/// Properties of one frame.
package struct FrameFlags: OptionSet, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// A receiver that does not know the kind skips the frame instead of ending the link.
    package static let optional = FrameFlags(rawValue: 1 << 0)

    /// On a reply: the payload is known to be valid UTF-8.
    package static let text = FrameFlags(rawValue: 1 << 1)
}
