import Environments
import FunctionConfig
import Glibc
import SystemPackage

extension LoadedConfig {
    /// The function with a relative `python` that is there beside the config as a full path: a gateway knows nothing of
    /// the folder that it is relative to.
    func withFullPath(_ function: FunctionConfig) -> FunctionConfig {
        guard let python = function.python, !python.hasPrefix("/"), !python.hasPrefix("~"),
            !["python", "python3"].contains(python), PythonVersion(python) == nil
        else { return function }
        let place = directory.pushing(FilePath(python))
        guard FileKind(at: place) != nil, let pointer = realpath(directory.string, nil) else { return function }
        defer { free(pointer) }
        // The folder alone is resolved: what a venv's interpreter links to is another interpreter.
        let folder = FilePath(String(cString: pointer))
        return function.withPython(folder.pushing(FilePath(python)).lexicallyNormalized().string)
    }
}
