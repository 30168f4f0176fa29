@testable import Environments
import TestSupport
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

    @Test func linesAreParsed() throws {
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

    @Test func errorsNameFileAndLine() throws {
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

@Suite struct RequirementSourcesTests {
    let folder: TemporaryFolder
    let outside: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        outside = try TemporaryFolder()
    }

    private func key(_ content: String, _ variables: [String: String] = [:]) throws -> String {
        try EnvironmentCache.key(
            .fake(path: "/usr/bin/python3"),
            try Requirements(file: try folder.write("requirements.txt", content), variables: variables),
            settings: InstallerSettings(variables: variables))
    }

    /// OUT is a folder outside the function's folder.
    @Test(arguments: [
        ("--find-links ./wheels\nx\n", "wheels/x.whl"), ("--no-index --find-links='./my wheels'\nx", "my wheels/x.whl"),
        ("-f OUT\nx\n", "OUT/x.whl"), ("-fOUT\nx\n", "OUT/x.whl"),
        ("--find-links=file://OUT/a%20b\nx", "OUT/a b/x.whl"),
        ("-i file://OUT/simple\nx", "OUT/simple/x/index.html"),
        ("--extra-index-url file://OUT/simple\nx", "OUT/simple/x/x.whl"),
        ("./pk[extra] ; python_version > '3'\n", "pk/deep/er/x.py"), ("pk/\n", "pk/x"), ("file:./pk#egg=x\n", "pk/x"),
        ("x @ file://OUT/x.whl\n", "OUT/x.whl"),
        ("x[a,b]@file://localhostOUT/pk ; python_version > '3'", "OUT/pk/setup.py"),
        ("git+file://OUT/repo@main#egg=x\n", "OUT/repo/.git/refs/heads/main"),
        ("-e git+file://OUT/bare.git#egg=x\n", "OUT/bare.git/packed-refs"),
        ("-r OUT/more.txt\n", "OUT/more.txt"), ("-c OUT/limits.txt\nx", "OUT/limits.txt"),
        ("-r file://OUT/more.txt\n", "OUT/more.txt"), ("-f ${HOME}/w\nx\n", "OUT/w/x.whl"),
        ("-f OUT/index.html\nx\n", "OUT/files/x.whl"), ("x-1.0-py3-none-any.whl", "x-1.0-py3-none-any.whl"),
    ])
    func aChangedFileChangesTheKey(content: String, file: String) throws {
        let content = content.replacing("OUT", with: outside.path)
        func write(_ text: String) throws {
            if file.hasPrefix("OUT/") {
                try outside.write(String(file.dropFirst(4)), text)
            } else {
                try folder.write(file, text)
            }
        }
        for name in ["repo/.git/HEAD", "bare.git/HEAD"] { try outside.write(name, "ref: refs/heads/main") }
        try outside.write(
            "index.html", "<a href='files/x.whl#sha256=0'>x</a> <a href=\"https://example.com/y.whl\">y</a>")
        let variables = ["HOME": outside.path]
        try write("six\n")
        let first = try key(content, variables)
        #expect(try key(content, variables) == first)
        try write("six==1\n")
        let second = try key(content, variables)
        #expect(second != first)
        try write("six\n")
        #expect(try key(content, variables) == first)
    }

    @Test func filesElsewhereCountByTheirContent() throws {
        try folder.write("a/x.whl", "1")
        try folder.write("b/x.whl", "1")
        // The name of a folder is in the text and counts. The place of the text does not.
        let other = try TemporaryFolder()
        for place in [folder, other] {
            try place.write("wheels/x.whl", "1")
            try place.write("requirements.txt", "-f wheels\nx\n")
        }
        func key(_ place: TemporaryFolder) throws -> String {
            try EnvironmentCache.key(
                .fake(path: "/p"), try Requirements(file: place.path + "/requirements.txt"))
        }
        #expect(try key(folder) == key(other))
        // Files that Python itself writes beside the code do not count.
        try folder.write("pk/a.py", "1")
        try folder.write("requirements.txt", "./pk\n")
        let before = try key(folder)
        try folder.write("pk/__pycache__/a.cpython-311.pyc", "1")
        #expect(try key(folder) == before)
        try folder.link("pk/b.py", to: "a.py")
        #expect(try key(folder) != before)
        // A folder that contains itself is an error, and is not followed for ever.
        try folder.link("pk/loop", to: ".")
        #expect(throws: EnvironmentError.self) { try key(folder) }
    }

    @Test func pipsOwnSettingsCount() throws {
        try folder.write("wheels/x.whl", "1")
        let content = "x\n"
        let plain = try key(content)
        #expect(
            try key(content, ["PIP_CACHE_DIR": "/x", "PIP_TIMEOUT": "5", "PATH": "/bin", "https_proxy": "p"]) == plain)
        let index = try key(content, ["PIP_INDEX_URL": "https://user:one@example.com/simple"])
        #expect(index != plain)
        #expect(try key(content, ["PIP_INDEX_URL": "https://user:two@example.com/simple"]) == index)
        #expect(try key(content, ["PIP_INDEX_URL": "https://example.org/simple"]) != index)
        let links = try key(content, ["PIP_FIND_LINKS": folder.path + "/wheels"])
        try folder.write("wheels/x.whl", "2")
        #expect(try key(content, ["PIP_FIND_LINKS": folder.path + "/wheels"]) != links)
        func configured(_ text: String) throws -> String {
            try key(content, ["PIP_CONFIG_FILE": try folder.write("pip.conf", text)])
        }
        #expect(try configured("[global]\ntimeout = 7\n") == plain)
        let conf = try configured("[global]\ntimeout = 7\nindex_url = https://example.com/simple\n")
        #expect(conf != plain)
        #expect(try configured("[global]\nindex-url = https://example.com/simple\ntimeout = 9\n") == conf)
        #expect(
            try configured("[global]\nextra-index-url =\n  https://a.example\n  https://b.example\n")
                != configured("[global]\nextra-index-url =\n  https://a.example\n"))
    }

    @Test func theInterpretersBuildCounts() throws {
        let requirements = try Requirements(file: try folder.write("requirements.txt", "x\n"))
        let builds = ["", "3.11.2 (main)", "3.11.2 (main, rebuilt)"]
        let keys = try builds.map { build in
            let fake = Interpreter.fake(path: "/p")
            return try EnvironmentCache.key(
                Interpreter(
                    path: fake.path, realPath: fake.realPath, version: fake.version, isVenv: false, prefix: fake.prefix,
                    hasEnsurepip: true, pip: fake.pip, build: build), requirements)
        }
        #expect(Set(keys).count == builds.count)
    }

    @Test func errorsForMissingFilesNameTheLine() throws {
        let path = folder.path + "/requirements.txt"
        #expect { try key("x\n./gone\n") } throws: { "\($0)".hasPrefix("\(path), line 2: cannot open") }
        #expect { try key("x\n\nfile:///gone/x.whl\n") } throws: { "\($0)".hasPrefix("\(path), line 3: cannot open") }
        // pip ignores these.
        #expect(try key("-f ./gone\nx\n").utf8.count == 64)
    }

    @Test func wordsAreSplitLikeAShellDoes() {
        #expect(RequirementText.words("a  'b c' \"d 'e'\" f\\ g ''") == ["a", "b c", "d 'e'", "f g", ""])
        #expect(
            RequirementText.options("--no-index -f x --find-links=y -iz --trusted-host h").map {
                "\($0.name) \($0.value)"
            }
                == ["--no-index ", "-f x", "--find-links y", "-i z", "--trusted-host h"])
        #expect(
            RequirementText.expanding(["A_1": "x", "E": ""], in: "${A_1}/$A_1/${a}/${E}/${B}/${")
                == "x/$A_1/${a}/${E}/${B}/${")
        #expect(FileURL.path("file:///a%20b/c#egg=d") == "/a b/c")
        #expect(FileURL.path("file://elsewhere/a") == nil)
        #expect(FileURL.repository("git+file:///a/b@1.0#egg=c") == "/a/b")
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
