@testable import Environments
import Testing

@Suite struct RequirementsTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func read(_ content: String) throws -> Requirements {
        try Requirements(file: try folder.write("requirements.txt", content))
    }

    @Test(arguments: [
        "", "\n\n", "# nothing\n  # more", "--index-url https://example.com/simple\n", "\u{FEFF}# bom", "-c limits.txt",
    ])
    func nothingRequired(content: String) throws {
        try folder.write("limits.txt", "six<2\n")
        #expect(try read(content).isEmpty)
    }

    @Test func aMissingFileRequiresNothing() throws {
        #expect(try Requirements(file: folder.path + "/none.txt").isEmpty)
    }

    @Test func linesAreTakenApart() throws {
        try folder.write("more.txt", "idna>=3 --hash=sha256:abc \\\n  --hash=sha256:def\r\n")
        try folder.write("limits.txt", "six<2\n")
        let read = try read(
            """
            six==1.16.0  # pinned
            -rmore.txt
            --constraint=limits.txt
            requests[socks] >= 2 ; python_version < "4"
            pack @ https://example.com/pack.zip#sha1=1
            -e git+https://example.com/x.git#egg=x
            ./local
            vendored-1.0-py3-none-any.whl
            --no-binary :all:
            """)
        #expect(
            read.lines.map(\.text) == [
                "six==1.16.0", "idna>=3", "six<2", "requests[socks] >= 2 ; python_version < \"4\"",
                "pack @ https://example.com/pack.zip#sha1=1", "git+https://example.com/x.git#egg=x",
            ])
        #expect(read.lines.filter(\.isConstraint).map(\.text) == ["six<2"])
        #expect(read.localPaths == [folder.path + "/local", folder.path + "/vendored-1.0-py3-none-any.whl"])
        #expect(read.contents.count == 3)
    }

    @Test func filesThatIncludeEachOtherAreReadOnce() throws {
        try folder.write("a.txt", "-r requirements.txt\nsix\n")
        let requirements = try read("-r a.txt\n")
        #expect(requirements.lines.map(\.text) == ["six"])
    }

    @Test func whatCannotBeFollowedNamesFileAndLine() throws {
        let path = folder.path + "/requirements.txt"
        #expect { try read("six\n\n-r gone.txt\n") } throws: { "\($0)".hasPrefix("\(path), line 3: cannot open") }
        #expect { try read("-e ./local\n") } throws: { "\($0)".hasPrefix("\(path), line 1: an editable install") }
    }

    @Test func theKeyFollowsEverythingThatMatters() throws {
        try folder.write("more.txt", "six\n")
        try folder.write("local/setup.py", "1")
        let content = "-r more.txt\n./local\n"
        func key(_ version: PythonVersion = PythonVersion(3, 11, 7), _ path: String = "/usr/bin/python3.11") throws
            -> String
        {
            try EnvironmentCache.key(.fake(path: path, version: version), read(content))
        }
        let first = try key()
        #expect(first.utf8.count == 64)
        #expect(try key() == first)
        #expect(try key(PythonVersion(3, 11, 8)) != first)
        #expect(try key(PythonVersion(3, 11, 7), "/opt/python") != first)
        try folder.write("more.txt", "six==1\n")
        let second = try key()
        #expect(second != first)
        try folder.write("local/setup.py", "2")
        #expect(try key() != second)
    }
}

extension Interpreter {
    static func fake(
        path: String, version: PythonVersion = PythonVersion(3, 11, 7), isVenv: Bool = false, hasEnsurepip: Bool = true,
        pip: PythonVersion? = PythonVersion(23, 2, 1)
    ) -> Interpreter {
        Interpreter(
            path: path, realPath: path, version: version, isVenv: isVenv, prefix: "/none", hasEnsurepip: hasEnsurepip,
            pip: pip)
    }
}
