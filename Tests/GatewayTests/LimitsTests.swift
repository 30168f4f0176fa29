import ControlPlane
import Gateway
import Testing

@Suite struct LimitsTests {
    @Test func eachCanBeSetToWhatItShows() throws {
        for limit in GatewayLimits.named {
            var limits = GatewayLimits()
            try limits.set("\(limit.name)=\(limit.value(in: limits))")
            #expect(limits == GatewayLimits(), "\(limit.name)")
        }
    }

    @Test(arguments: [
        ("quue=5", "did you mean \"queue\"?"), ("queue", "NAME=VALUE"), ("queue=many", "queue: \"many\""),
        ("queue=0", "queue"), ("message=-1", "message"), ("drain=30", "drain"), ("drain=0s", "drain"),
    ])
    func whatIsWrongIsNamed(assignment: String, words: String) {
        var limits = GatewayLimits()
        do throws(LimitError) {
            try limits.set(assignment)
            Issue.record("\(assignment) should not be taken")
        } catch {
            #expect("\(error)".contains(words))
        }
        #expect(limits == GatewayLimits())
    }
}
