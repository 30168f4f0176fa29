package import Environments
package import Platform

/// Why a bundle cannot be received or used.
package enum BundleStoreError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The name is not a SHA-256 in 64 lower-case hexadecimal digits.
    case badName(String)
    case tooLarge(bytes: UInt64, limit: UInt64)
    /// Another number of bytes came than was announced.
    case wrongSize(announced: UInt64, came: UInt64)
    case wrongContent(announced: String, came: String)
    /// The bundle is not in the store.
    case unknown(String)
    case diskFull(String)
    /// The content of the bundle is not acceptable.
    case bundle(BundleError)
    case file(FileError)

    package var description: String {
        switch self {
        case .badName(let name):
            "\(name.quotedName) is not a SHA-256 (64 digits and letters a to f)"
        case .tooLarge(let bytes, let limit):
            "the bundle has \(bytes) bytes; \(limit) is the most (--limit bundle)"
        case .wrongSize(let announced, let came):
            "the bundle was announced with \(announced) bytes, but \(came) came"
        case .wrongContent(let announced, let came):
            "the bundle's SHA-256 is \(came), not \(announced) as announced; it was changed on its way"
        case .unknown(let name):
            "there is no bundle \(name); upload it first"
        case .diskFull(let what):
            "\(what): the disk is full"
        case .bundle(let error):
            error.description
        case .file(let error):
            error.description
        }
    }
}

extension BundleStoreError {
    /// Tells a full disk from other failures.
    init(_ error: FileError) {
        self = error.isDiskFull ? .diskFull("cannot \(error.operation) \(error.path)") : .file(error)
    }

    init(_ error: BundleError) {
        if case .file(let inner) = error { self.init(inner) } else { self = .bundle(error) }
    }

    /// Does `work`, and turns a failure of the file system into one of the store.
    static func explaining<Result: ~Copyable>(
        _ work: () throws(FileError) -> Result
    ) throws(BundleStoreError) -> Result {
        do throws(FileError) { return try work() } catch { throw BundleStoreError(error) }
    }
}
