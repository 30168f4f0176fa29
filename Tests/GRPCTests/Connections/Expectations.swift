import Testing

/// Expects what a mutating call returns, which `#expect` itself cannot make.
func expect<Value: Equatable>(
    _ got: Value, _ wanted: Value, _ comment: Comment? = nil, at location: SourceLocation = #_sourceLocation
) {
    #expect(got == wanted, comment, sourceLocation: location)
}
