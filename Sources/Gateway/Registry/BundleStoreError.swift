package import Environments

/// Why a bundle cannot be taken or used.
package enum BundleStoreError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The name is not a SHA-256 in 64 lower-case hexadecimal digits.
    case badName(String)
    case tooLarge(bytes: UInt64, limit: UInt64)
    /// More, or less, came than was announced.
    case wrongSize(announced: UInt64, came: UInt64)
    case wrongContent(announced: String, came: String)
    /// It is not in the store.
    case unknown(String)
    case diskFull(String)
    /// Its content is not acceptable.
    case bundle(BundleError)
    case file(FileError)

    package var description: String {
        switch self {
        case .badName(let name):
            "\(name.quotedName) is no SHA-256 (64 digits and letters a to f)"
        case .tooLarge(let bytes, let limit):
            "a bundle of \(bytes) bytes; \(limit) is the most (limit bundle-bytes)"
        case .wrongSize(let announced, let came):
            "the bundle was announced with \(announced) bytes, but \(came) came"
        case .wrongContent(let announced, let came):
            "the bundle's SHA-256 is \(came), not \(announced) as announced; it was changed on the way"
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
    /// The same failure, a full disk told apart.
    init(_ error: FileError) {
        self = error.isDiskFull ? .diskFull("cannot \(error.operation) \(error.path)") : .file(error)
    }

    init(_ error: BundleError) {
        if case .file(let inner) = error { self.init(inner) } else { self = .bundle(error) }
    }

    /// Does the work, a failure of the file system made one of the store.
    static func explaining<Result: ~Copyable>(
        _ work: () throws(FileError) -> Result
    ) throws(BundleStoreError) -> Result {
        do throws(FileError) { return try work() } catch { throw BundleStoreError(error) }
    }
}
