import Environments
import FunctionConfig
import SystemPackage

extension LoadedConfig {
    /// The function with a relative `python` that is there beside the config as a full path: a gateway knows nothing of
    /// the folder that it is relative to.
    func withFullPath(_ function: FunctionConfig) -> FunctionConfig {
        guard let python = function.python, !python.hasPrefix("/"), !python.hasPrefix("~"),
            !["python", "python3"].contains(python), PythonVersion(python) == nil
        else { return function }
        let place = directory.pushing(FilePath(python))
        guard FileKind(at: place) != nil else { return function }
        // The folder alone is resolved: what a venv's interpreter links to is another interpreter.
        return function.withPython(directory.real.pushing(FilePath(python)).lexicallyNormalized().string)
    }
}
