/// What waits for something that the core was asked to do.
///
/// A tag is made a pointer when the core is asked (which retains it) and turned back once, when the answer comes (which
/// releases it), so everything that the core may still touch lives as long as the core may touch it. One object may
/// wait for several things at a time: the event's number tells them apart and travels in the low bits of the pointer.
package class CompletionTag {
    package init() {}

    /// The answer to what was asked under `event`. Runs on a thread of the completion queue: it must not block.
    ///
    /// - Parameter success: false when the call or the server has ended instead.
    package func complete(event: UInt8, success: Bool) {
        preconditionFailure("\(type(of: self)) does not complete")
    }

    /// Heap objects are aligned to 16 bytes, so this many low bits of their address are free.
    private static let eventMask: UInt = 0b111

    /// The pointer to hand to the core; retains the tag until `redeem`.
    final func tag(event: UInt8) -> UnsafeMutableRawPointer? {
        let address = UInt(bitPattern: Unmanaged.passRetained(self).toOpaque())
        return UnsafeMutableRawPointer(bitPattern: address | UInt(event))
    }

    /// Turns a pointer back into its tag, and completes it.
    static func redeem(_ pointer: UnsafeMutableRawPointer, success: Bool) {
        let address = UInt(bitPattern: pointer)
        guard let object = UnsafeRawPointer(bitPattern: address & ~eventMask) else { return }
        let tag = Unmanaged<CompletionTag>.fromOpaque(object).takeRetainedValue()
        tag.complete(event: UInt8(address & eventMask), success: success)
    }

    /// Takes back a pointer that the core refused.
    static func forget(_ pointer: UnsafeMutableRawPointer?) {
        let address = UInt(bitPattern: pointer)
        guard let object = UnsafeRawPointer(bitPattern: address & ~eventMask) else { return }
        Unmanaged<CompletionTag>.fromOpaque(object).release()
    }
}
