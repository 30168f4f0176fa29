import Glibc
import SystemPackage

extension FilePath {
    /// The full path with every link followed; the path itself where there is nothing.
    var real: FilePath {
        guard let pointer = realpath(string, nil) else { return self }
        defer { free(pointer) }
        return FilePath(String(cString: pointer))
    }
}
