import Platform

/// The settings that, besides the requirements, decide which packages pip installs and where it gets them: its
/// variables and its configuration files.
struct InstallerSettings {
    /// The variables for options of pip that do not change what it installs.
    private static let ignoredVariables: Set<String> = [
        "PIP_CACHE_DIR", "PIP_NO_CACHE_DIR", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES", "PIP_RESUME_RETRIES",
        "PIP_QUIET", "PIP_VERBOSE", "PIP_NO_COLOR", "PIP_NO_INPUT", "PIP_PROGRESS_BAR", "PIP_LOG", "PIP_PROXY",
        "PIP_CERT",
        "PIP_CLIENT_CERT", "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_ROOT_USER_ACTION", "PIP_EXISTS_ACTION", "PIP_DEBUG",
        "PIP_KEYRING_PROVIDER", "PIP_USER", "PIP_CONFIG_FILE", "PIP_NO_PYTHON_VERSION_WARNING", "PIP_SRC",
        "PIP_RAW_OUTPUT",
    ]
    /// The options in configuration files that change what pip installs.
    private static let options: Set<String> = [
        "index-url", "extra-index-url", "find-links", "no-index", "constraint", "pre", "no-binary", "only-binary",
        "prefer-binary", "no-deps", "trusted-host", "requirement", "use-feature", "config-settings",
        "no-build-isolation",
    ]
    private static let bytesMax = 1 << 20

    private let variables: [String: String]

    /// - Parameter variables: the variables that pip gets.
    init(variables: [String: String]) {
        self.variables = variables
    }

    /// Adds the settings that change what pip installs.
    ///
    /// - Parameter prefix: the interpreter's prefix. There may be a configuration file in it.
    func add(to digest: inout Digest, prefix: String) {
        for (name, value) in variables.sorted(by: { $0.key < $1.key })
        where name.hasPrefix("PIP_") && !Self.ignoredVariables.contains(name) {
            digest.addCounted(Array("\(name)=\(RequirementText.withoutCredentials(value))".utf8))
            if name == "PIP_FIND_LINKS" { addLinks(value, to: &digest) }
            if name == "PIP_CONSTRAINT" || name == "PIP_REQUIREMENT" { addFiles(value, to: &digest) }
        }
        for file in files(prefix: prefix) {
            for (option, value) in Self.settings(file) {
                digest.addCounted(Array("\(option)=\(RequirementText.withoutCredentials(value))".utf8))
                if option == "find-links" { addLinks(value, to: &digest) }
                if option == "constraint" || option == "requirement" { addFiles(value, to: &digest) }
            }
        }
    }

    private func addLinks(_ value: String, to digest: inout Digest) {
        for word in value.split(whereSeparator: \.isWhitespace).map(String.init) {
            let path = FileURL.path(word) ?? word
            if path.hasPrefix("/") {
                digest.addCounted(Array(((try? ContentDigest.links(at: path)) ?? "nothing").utf8))
            }
        }
    }

    private func addFiles(_ value: String, to digest: inout Digest) {
        for word in value.split(whereSeparator: \.isWhitespace).map(String.init) {
            let path = FileURL.path(word) ?? word
            if path.hasPrefix("/") { digest.addCounted((try? WholeFile.read(path, limit: Self.bytesMax)) ?? []) }
        }
    }

    /// The possible paths of pip's configuration files.
    private func files(prefix: String) -> [String] {
        let named = variables["PIP_CONFIG_FILE"]
        if named == "/dev/null" { return [] }
        let home = variables["HOME"].map { [$0 + "/.pip/pip.conf", $0 + "/.config/pip/pip.conf"] } ?? []
        return ["/etc/xdg/pip/pip.conf", "/etc/pip.conf"] + home + [prefix + "/pip.conf"] + (named.map { [$0] } ?? [])
    }

    /// The options of a configuration file that change what pip installs, in order. Indented lines continue a value.
    private static func settings(_ file: String) -> [(option: String, value: String)] {
        guard let bytes = try? WholeFile.read(file, limit: bytesMax) else { return [] }
        var found: [(option: String, value: String)] = []
        var isWanted = false
        for line in String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: \.isWhitespace).joined(separator: " ")
            if words.hasPrefix("#") || words.hasPrefix(";") { continue }
            if line.first?.isWhitespace == true {
                if isWanted, let last = found.popLast() { found.append((last.option, last.value + " " + words)) }
                continue
            }
            let pair = words.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == "=" || $0 == ":" }
            let option = pair[0].filter { $0 != " " }.lowercased().replacing("_", with: "-")
            isWanted = pair.count == 2 && options.contains(option)
            if isWanted { found.append((option, String(pair[1].drop { $0 == " " }))) }
        }
        return found
    }
}
