/// Properties of one frame.
package struct FrameFlags: OptionSet, Sendable {
    package let rawValue: UInt8

    @inlinable
    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// No flags. Other modules would build an empty literal in a slow, generic way.
    @inlinable
    package static var none: FrameFlags { FrameFlags(rawValue: 0) }

    /// A receiver that does not know the kind skips the frame instead of ending the link.
    @inlinable
    package static var optional: FrameFlags { FrameFlags(rawValue: 1 << 0) }

    /// On a reply, a piece or a CallReply: the payload is valid UTF-8.
    @inlinable
    package static var text: FrameFlags { FrameFlags(rawValue: 1 << 1) }

    /// On a call: the reply may come in pieces.
    @inlinable
    package static var stream: FrameFlags { FrameFlags(rawValue: 1 << 2) }
}
