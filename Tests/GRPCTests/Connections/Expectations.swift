import Testing

/// Checks the result of a mutating call, which `#expect` itself cannot contain.
func expect<Value: Equatable>(
    _ got: Value, _ wanted: Value, _ comment: Comment? = nil, at location: SourceLocation = #_sourceLocation
) {
    #expect(got == wanted, comment, sourceLocation: location)
}
