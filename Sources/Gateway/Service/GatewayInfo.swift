internal import FunctionConfig
internal import GRPC

/// What the gateway says of itself.
struct GatewayInfo: Sendable {
    var dataFolder: String
    var started = MonotonicTime.now

    func text(functions: Int) -> String {
        let seconds = MonotonicTime.now.nanoseconds(since: started) / 1_000_000_000
        return """
            dcf-gateway \(Release.version)
            functions: \(functions)
            up: \(seconds) s
            data: \(dataFolder)
            """
    }
}
