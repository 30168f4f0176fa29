import Glibc
import Platform
import SystemPackage

@testable import dcf

/// Runs `body` with a new folder, and removes the folder afterwards.
func withTemporaryFolder<Result>(_ body: (FilePath) async throws -> Result) async throws -> Result {
    var template = Array("/tmp/dcf-test-XXXXXX".utf8CString)
    guard let pointer = mkdtemp(&template) else { throw Errno(rawValue: errno) }
    let folder = FilePath(String(cString: pointer))
    defer { try? Folder.remove(folder.string) }
    return try await body(folder)
}

extension FilePath {
    func write(_ text: String) throws {
        let file = try FileDescriptor.open(
            self, .writeOnly, options: [.create, .truncate], permissions: .ownerReadWrite)
        _ = try file.closeAfter { try file.writeAll(text.utf8) }
    }

    func read() throws -> String {
        try LoadedConfig.text(at: string)
    }
}
