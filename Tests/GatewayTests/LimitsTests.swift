import Gateway
import Testing

@Suite struct LimitsTests {
    @Test func eachCanBeSetToWhatItShows() throws {
        for limit in Limits.named {
            var limits = Limits()
            try limits.set("\(limit.name)=\(limit.value(in: limits))")
            #expect(limits == Limits(), "\(limit.name)")
        }
    }

    @Test(arguments: [
        ("quue=5", "did you mean \"queue\"?"), ("queue", "NAME=VALUE"), ("queue=many", "queue: \"many\""),
        ("queue=0", "queue"), ("message=-1", "message"), ("drain=30", "drain"), ("drain=0s", "drain"),
    ])
    func whatIsWrongIsNamed(assignment: String, words: String) {
        var limits = Limits()
        do throws(Limits.NamedError) {
            try limits.set(assignment)
            Issue.record("\(assignment) should not be taken")
        } catch {
            #expect("\(error)".contains(words))
        }
        #expect(limits == Limits())
    }
}
