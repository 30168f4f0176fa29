import FunctionConfig
import SystemPackage

/// A config file that was read, and where it lies: relative paths in it begin there.
struct LoadedConfig {
    let file: ConfigFile
    /// The folder of the file.
    let directory: FilePath

    init(path: String) throws(CommandFailure) {
        let text = try Self.text(at: path)
        do {
            file = try ConfigFile.parse(yaml: text, fileName: path)
        } catch {
            throw CommandFailure(error)
        }
        directory = Self.directory(of: path)
    }

    /// The functions with these names in this order, or all of the file. A name that is not there suggests the nearest.
    func functions(named names: [String]) throws(CommandFailure) -> [FunctionConfig] {
        guard !file.functions.isEmpty else {
            throw CommandFailure("\(file.fileName) has no functions; \"dcf function init NAME\" adds one")
        }
        if names.isEmpty { return file.functions }
        var functions: [FunctionConfig] = []
        for name in names where !functions.contains(where: { $0.name.text == name }) {
            guard let function = file.function(named: name) else {
                let near = Suggestion.clause(for: name, among: file.functions.map(\.name.text))
                throw CommandFailure("\(file.fileName) has no function \(name.quoted)\(near)")
            }
            functions.append(function)
        }
        return functions
    }

    /// The folder of a function's code.
    func directory(of function: FunctionConfig) -> FilePath {
        let path = directory.pushing(FilePath(function.handler.directory)).lexicallyNormalized()
        return path.isEmpty ? FilePath(".") : path
    }

    /// The folder that a path lies in; the current one for a bare name.
    static func directory(of path: String) -> FilePath {
        let directory = FilePath(path).removingLastComponent()
        return directory.isEmpty ? FilePath(".") : directory
    }

    static func text(at path: String) throws(CommandFailure) -> String {
        let bytes: [UInt8]
        do {
            let descriptor = try FileDescriptor.open(FilePath(path), .readOnly)
            bytes = try descriptor.closeAfter { try descriptor.readToEnd(bytesMax: 16 << 20) }
        } catch Errno.noSuchFileOrDirectory {
            throw CommandFailure(
                "there is no \(path); name the config with -f, or begin one with \"dcf function init\"")
        } catch {
            throw CommandFailure("cannot read \(path): \(error)")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CommandFailure("\(path) is not UTF-8 text")
        }
        return text
    }
}
