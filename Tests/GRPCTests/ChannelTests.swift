import GRPC
import Testing

@Suite struct ChannelTests {
    /// The call's own end holds the last reference: the thread that handles the events of the channel's queue ends
    /// both.
    @Test(.timeLimit(.minutes(10))) func aChannelMayEndOnItsOwnThread() async throws {
        final class Witness {
            weak var channel: Channel?
        }
        for _ in 0..<100 {
            let witness = Witness()
            do {
                // No server listens there: the call ends by itself.
                let channel = Channel(target: "127.0.0.1:1")
                witness.channel = channel
                _ = try channel.call("/test.Service/Nobody")
            }
            while witness.channel != nil { try await Task.sleep(for: .milliseconds(1)) }
        }
    }
}
