import CLinux
import CPython

/// The interpreter calls this when it loads the library as the extension module `_dcf_watcher`.
///
/// - Returns: the module, a new reference; nil with an exception set.
@_cdecl("PyInit__dcf_watcher")
public func initializeWatcherModule() -> UnsafeMutableRawPointer? {
    _ = dcf_prctl_name("dcf-watcher")
    guard let module = WatcherModule.create() else { return nil }
    return UnsafeMutableRawPointer(module)
}
