/// Labels of the images that `dcf` builds.
package enum ImageLabel {
    /// The function's name.
    package static let function = "io.dcf.function"
    /// What the build called it: `name:tag`.
    package static let name = "io.dcf.image"
}
