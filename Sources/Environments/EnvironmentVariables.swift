import Glibc

/// Which variables of this process its children get.
package enum EnvironmentVariables {
    /// The variables that every child gets.
    private static let plain: Set<String> = ["PATH", "HOME", "LANG", "TZ"]
    private static let proxies: Set<String> = ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"]
    private static let certificates: Set<String> = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]

    /// The variables for a Python that is only asked about itself.
    package static func forProbe(_ all: [String: String]) -> [String: String] {
        all.filter { plain.contains($0.key) || $0.key.hasPrefix("PYENV_") }
    }

    /// The variables for pip and venv: the plain ones, the folder for temporary files, proxies, certificates, and pip's
    /// own.
    package static func forInstaller(_ all: [String: String]) -> [String: String] {
        var chosen = all.filter { pair in
            plain.contains(pair.key) || proxies.contains(pair.key.lowercased()) || certificates.contains(pair.key)
                || pair.key == "TMPDIR" || pair.key.hasPrefix("PIP_")
        }
        // These settings of a machine would install packages outside the venv.
        for name in ["PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON"] { chosen[name] = nil }
        chosen["PIP_USER"] = "0"
        return chosen
    }

    /// Whether a function gets this variable, on a gateway and in a trial alike.
    package static func passToFunctions(_ name: String) -> Bool {
        switch name.lowercased() {
        case "path", "home", "lang", "tz", "tmpdir", "http_proxy", "https_proxy", "no_proxy", "all_proxy": true
        default: name.hasPrefix("CUDA_") || name.hasPrefix("NVIDIA_") || name.hasPrefix("LC_")
        }
    }

    /// The present variables of this process.
    package static func ours() -> [String: String] {
        var result: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let line = String(cString: text)
            if let equals = line.firstIndex(of: "=") {
                result[String(line[..<equals])] = String(line[line.index(after: equals)...])
            }
            entry += 1
        }
        return result
    }
}
