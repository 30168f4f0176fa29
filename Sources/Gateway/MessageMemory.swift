internal import CLinux

/// How the process keeps memory between messages.
///
/// The C library gives the memory of a large message back to the system as soon as it is free, and the next one then
/// pays for every page again: a seventh of the rate at 1 MiB in and out. Here so much is kept while calls come, and all
/// is given back when they rest.
enum MessageMemory {
    private static let keptBytes: Int32 = 16 << 20

    /// Once, before there are threads.
    static func prepare() {
        dcf_malloc_keep(keptBytes)
    }

    /// Gives back what no message uses. Takes some milliseconds.
    static func giveBack() {
        dcf_malloc_trim()
    }
}
