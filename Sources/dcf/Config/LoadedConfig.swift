import Environments
import FunctionConfig
import SystemPackage

/// A config file that was read, and its folder. Relative paths in the file start at that folder.
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

    /// The functions with these names, in this order. Without names, all functions of the file. The error for an
    /// unknown name suggests the nearest one.
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

    /// The folder of a function's handler.
    func directory(of function: FunctionConfig) -> FilePath {
        let path = directory.pushing(FilePath(function.handler.directory)).lexicallyNormalized()
        return path.isEmpty ? FilePath(".") : path
    }

    /// The folder that contains a path. The current folder for a bare name.
    static func directory(of path: String) -> FilePath {
        let directory = FilePath(path).removingLastComponent()
        return directory.isEmpty ? FilePath(".") : directory
    }

    /// The text of a file.
    static func text(at path: String) throws(CommandFailure) -> String {
        let bytes: [UInt8]
        do {
            let descriptor = try FileDescriptor.open(FilePath(path), .readOnly)
            bytes = try descriptor.closeAfter { try descriptor.readToEnd(bytesMax: 16 << 20) }
        } catch Errno.noSuchFileOrDirectory {
            throw CommandFailure(
                "there is no \(path); name the config with -f, or create one with \"dcf function init\"")
        } catch {
            throw CommandFailure("cannot read \(path): \(error)")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CommandFailure("\(path) is not UTF-8 text; save it as UTF-8")
        }
        return text
    }
}

extension LoadedConfig {
    /// Throws the first fault of these functions: a key that does not work with the kind of deploy, or a missing folder
    /// or handler file.
    func check(_ functions: [FunctionConfig], as kinds: DeployKinds) throws(CommandFailure) {
        for function in functions {
            var function = function
            if kinds[function] == .process {
                let process = function.asProcess()
                function = process.function
                for key in process.ignored {
                    Console.note("\(key) is for images; it is ignored, as \(function.name) runs as a process")
                }
            }
            do {
                try function.requireSupported(as: kinds[function])
            } catch {
                throw CommandFailure(error)
            }
            // An image that is not built here already contains its handler.
            guard !function.skipBuild else { continue }
            try HandlerCheck(function: function, directory: directory(of: function)).requireFiles()
        }
    }

    /// The function with a full path in `python`, if `python` is a relative path that exists beside the config. The
    /// gateway does not know the folder at which a relative path starts.
    func withFullPath(_ function: FunctionConfig) -> FunctionConfig {
        guard let python = function.python, !python.hasPrefix("/"), !python.hasPrefix("~"),
            !["python", "python3"].contains(python), PythonVersion(python) == nil
        else { return function }
        let place = directory.pushing(FilePath(python))
        guard FileKind(at: place) != nil else { return function }
        // Resolve only the folder: a venv's interpreter is a link to another interpreter.
        return function.withPython(directory.real.pushing(FilePath(python)).lexicallyNormalized().string)
    }
}
