import SystemPackage
import Testing

@testable import dcf

@Suite struct WatcherProgramTests {
    @Test func looksBesideItselfFirst() {
        let places = WatcherProgram.candidates(executable: "/opt/dcf/bin/dcf", path: "/usr/bin:relative::/bin")
        #expect(
            places == [
                "/opt/dcf/bin/dcf-watcher", "/opt/dcf/libexec/dcf-watcher", "/opt/dcf/lib/dcf/dcf-watcher",
                "/usr/bin/dcf-watcher", "/bin/dcf-watcher",
            ])
    }
}
