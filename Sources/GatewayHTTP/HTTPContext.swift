internal import Calls
internal import Hummingbird
internal import NIOCore
internal import Platform

/// What the handlers of routes get beside the request.
struct HTTPContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// The connection, or the stream of HTTP/2.
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }

    /// The part `:name` of the path, unescaped.
    var name: String {
        get throws(CallFailure) {
            guard let name = parameters.get("name").flatMap({ FunctionTarget.decoded($0[...]) }) else {
                throw CallFailure(.invalidArgument, executed: .no, "the path has no function's name")
            }
            return name
        }
    }
}
