internal import CLinux

/// Controls how the process keeps memory between messages.
///
/// By default the C library returns the memory of a large message to the system as soon as it is free, and the next
/// message pays for every page again: at 1 MiB in and out this costs a seventh of the rate. So the process keeps some
/// memory while calls come, and returns all of it when there are none.
package enum MessageMemory {
    private static let keptBytes: Int32 = 16 << 20

    /// Sets this up. Call it once, before there are threads.
    package static func prepare() {
        dcf_malloc_keep(keptBytes)
    }

    /// Returns the memory that no message uses to the system. Takes some milliseconds.
    package static func giveBack() {
        dcf_malloc_trim()
    }
}
