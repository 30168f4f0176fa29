import Gateway
import Testing

@Suite struct FunctionStatusTests {
    @Test(
        arguments: [
            ([.ready], .ready), ([.idle], .idle), ([.failed], .failed), ([.starting], .starting),
            ([.ready, .ready], .ready), ([.ready, .idle], .ready), ([.idle, .idle], .idle),
            ([.ready, .failed], .degraded), ([.ready, .starting], .degraded), ([.failed, .failed], .failed),
            ([.idle, .failed], .degraded), ([.degraded, .ready], .degraded),
        ] as [([FunctionStatus], FunctionStatus)])
    func versionsAddUp(versions: [FunctionStatus], function: FunctionStatus) {
        #expect(FunctionStatus(versions: versions) == function)
    }
}
