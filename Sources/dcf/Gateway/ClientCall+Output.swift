import GRPC
import GatewayProtocol

extension ClientCall {
    /// Writes the output of each message to standard output as it comes, to the end of the call.
    func copyOutput() async throws(Status) {
        while let bytes = try await receive() {
            let message: Pb_Messages = try GatewayClient.message(from: bytes)
            do throws(CommandFailure) {
                try Console.write(message.output)
            } catch {
                cancel()
                throw Status(.cancelled, error.description)
            }
        }
    }
}
