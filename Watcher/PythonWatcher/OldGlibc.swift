import Glibc

/// Swift's module of the C library refers to hypotf, but nothing here calls it. glibc 2.35 gave that function a new
/// version. With this definition the library still loads with glibc 2.34.
@_cdecl("hypotf")
func hypotenuse(_ first: Float, _ second: Float) -> Float {
    Float((Double(first) * Double(first) + Double(second) * Double(second)).squareRoot())
}
