import Glibc

/// Swift's module of the C library refers to hypotf, which nothing here calls; glibc gave it a new version with 2.35. With one
/// of its own this library loads where glibc is 2.34.
@_cdecl("hypotf")
func hypotenuse(_ first: Float, _ second: Float) -> Float {
    Float((Double(first) * Double(first) + Double(second) * Double(second)).squareRoot())
}
