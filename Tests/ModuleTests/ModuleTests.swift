import Foundation
import Testing

/// Arrows between modules point one way: what the sources import, what `Package.swift` allows and what the table of
/// docs/architecture.md says are the same, and each row of that table imports only rows above it.
@Suite struct ModuleTests {
    /// Come with the toolchain.
    private static let standard: Set<String> = ["Foundation", "FoundationEssentials", "Glibc", "Synchronization"]
    /// Who may know gRPC: its own module, its front, and the command line, which is a client.
    private static let knowingGRPC: Set<String> = ["GatewayGRPC", "dcf"]

    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    // MARK: What is true

    @Test func theTableHasEveryModule() throws {
        let rows = try Self.rows()
        #expect(Set(rows.map(\.name)) == Set(try Self.modules().keys))
        #expect(rows.count == Set(rows.map(\.name)).count, "a module has two rows")
    }

    @Test func everyImportIsInTheTable() throws {
        let modules = try Self.modules()
        for row in try Self.rows() {
            guard let folder = modules[row.name] else { continue }
            let imports = try Self.imports(below: folder)
            #expect(
                imports == row.imports,
                """
                \(row.name): not in the table of docs/architecture.md: \(imports.subtracting(row.imports).sorted()); there, and \
                not imported: \(row.imports.subtracting(imports).sorted())
                """)
        }
    }

    @Test func everyArrowPointsUp() throws {
        var above: Set<String> = []
        let rows = try Self.rows()
        let own = Set(rows.map(\.name))
        for row in rows {
            let wrong = row.imports.intersection(own).subtracting(above)
            #expect(wrong.isEmpty, "\(row.name) imports \(wrong.sorted()), which stand below it or nowhere")
            above.insert(row.name)
        }
    }

    @Test func thePackageAllowsWhatIsImportedAndNoMore() throws {
        let package = try String(contentsOf: Self.root.appending(path: "Package.swift"), encoding: .utf8)
        for row in try Self.rows() where !row.imports.isEmpty {
            let allowed = Self.dependencies(of: row.name, in: package)
            #expect(
                allowed == row.imports,
                """
                \(row.name): not in Package.swift: \(row.imports.subtracting(allowed).sorted()); there, and not imported: \
                \(allowed.subtracting(row.imports).sorted())
                """)
        }
    }

    @Test func onlyTheFrontAndTheCommandLineKnowGRPC() throws {
        for row in try Self.rows() where row.imports.contains("GRPC") {
            #expect(Self.knowingGRPC.contains(row.name), "\(row.name) imports GRPC")
        }
    }

    // MARK: How it is read

    private struct Row {
        var name: String
        var imports: Set<String>
    }

    /// The rows of the table below "## Modules".
    private static func rows() throws -> [Row] {
        let text = try String(contentsOf: root.appending(path: "docs/architecture.md"), encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let begin = try #require(lines.firstIndex(of: "## Modules"))
        return lines[(begin + 1)...].prefix { !$0.hasPrefix("## ") }.compactMap { line in
            let cells = line.split(separator: "|", omittingEmptySubsequences: false)
            guard cells.count == 5, let name = names(in: cells[1]).first else { return nil }
            return Row(name: name, imports: Set(names(in: cells[3])))
        }
    }

    /// What stands between backticks.
    private static func names(in cell: Substring) -> [String] {
        cell.split(separator: "`", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map { String($0.element) }
    }

    /// The folders that are modules, by name.
    private static func modules() throws -> [String: URL] {
        var found: [String: URL] = [:]
        for top in ["Sources", "Watcher"] {
            let folder = root.appending(path: top)
            for name in try FileManager.default.contentsOfDirectory(atPath: folder.path()) {
                let module = folder.appending(path: name)
                // A file there, such as Watcher/server.py, is not a module.
                guard try module.resourceValues(forKeys: [.isDirectoryKey]).isDirectory == true else { continue }
                found[name] = module
            }
        }
        return found
    }

    private static func imports(below folder: URL) throws -> Set<String> {
        var found: Set<String> = []
        let files = FileManager.default.enumerator(atPath: folder.path())?.compactMap { $0 as? String } ?? []
        for file in files where file.hasSuffix(".swift") {
            let text = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
            found.formUnion(imports(in: text))
        }
        return found.subtracting(standard)
    }

    /// The imports at the head of a file: further down there may be Python's, in texts.
    private static func imports(in source: String) -> [String] {
        source.split(separator: "\n").prefix { line in
            line.hasPrefix("//") || line.contains("import ") || line.hasPrefix("#")
        }
        .compactMap { line in
            let words = line.split(separator: " ")
            guard !line.hasPrefix("//"), let at = words.firstIndex(of: "import"), at + 1 < words.count else {
                return nil
            }
            return String(words[at + 1])
        }
    }

    /// The names in the `dependencies` of a target.
    private static func dependencies(of target: String, in package: String) -> Set<String> {
        guard let name = package.range(of: "arget\\(\\s*name: \"\(target)\",", options: .regularExpression),
            let begin = package.range(of: "dependencies: [", range: name.upperBound..<package.endIndex),
            let end = package.range(of: "]", range: begin.upperBound..<package.endIndex)
        else { return [] }
        let list = package[begin.upperBound..<end.lowerBound]
            .replacing(/package: "[^"]*"/, with: "")
        return Set(
            list.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
                .filter { $0.offset % 2 == 1 }.map { String($0.element) })
    }
}
