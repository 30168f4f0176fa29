/// A mark of the registry: these files are of no version, or may never be. Only what is marked is ever removed.
package struct Removal: Sendable, Hashable {
    /// The SHA-256 of the bundle; empty where there is none.
    package var bundle: String
    /// The function that it was deployed as; empty for one that was only uploaded.
    package var name: String
    package var version: Int
    /// When it was marked, in milliseconds since 1970.
    package var since: Int64

    package init(bundle: String, name: String = "", version: Int = 0, since: Int64 = LogTime.now()) {
        self.bundle = bundle
        self.name = name
        self.version = version
        self.since = since
    }

    /// The files of a version.
    package init(_ version: VersionRecord) {
        self.init(bundle: version.bundle, name: version.name, version: version.version)
    }

    /// Whether it is a bundle that was uploaded, and not deployed since.
    package var isUpload: Bool { name.isEmpty }
}
