package import Calls
package import ControlPlane
internal import GatewayProtocol
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
package import Logging
internal import NIOCore
package import Platform
internal import Synchronization

/// Answers requests of HTTP/1.1 and HTTP/2 on the connections that it is given: calls at `/function/NAME`, management at
/// `/api/v1`, and `/healthz`. Any thread may use it.
package final class HTTPService: Sendable {
    /// What is known of a request by its head.
    struct Admission {
        /// The headers that its response has, whatever it is.
        var fields = HTTPFields()
        /// The response, where the request is refused.
        var refusal: HTTPRefusal?
    }

    let invoker: Invoker
    /// The most bytes of a call's input.
    let maxInputBytes: Int
    /// How long a connection may take for the next part of a reply.
    let idleTimeout: TimeAmount
    /// The memory for bodies that were received and not answered.
    let inputs: ByteBudget
    /// The memory for replies that callers have not read.
    let replies: ByteBudget
    private let gate: CallGate
    private let origins: OriginCheck
    private let router: RouterResponder<HTTPContext>
    private let logger: Logger
    private let requests = Atomic<Int>(0)
    private let server: HTTPServer

    /// - Parameters:
    ///   - common: the limits of calls through every front.
    ///   - hosts: further values of `Host` that are let in.
    ///   - origins: further values of `Origin` that are let in.
    package init(
        limits: HTTPLimits, common: Limits, hosts: [String], origins: [String], plane: CallPlane, control: ControlPlane,
        logger: Logger
    ) {
        invoker = plane.invoker
        maxInputBytes = common.messageBytes
        idleTimeout = limits.idleTimeout.amount
        inputs = ByteBudget(limit: limits.inputBytes, connectionLimit: limits.inputBytes)
        replies = ByteBudget(limit: limits.replyBytes, connectionLimit: limits.replyBytes)
        gate = plane.gate
        self.origins = OriginCheck(hosts: hosts, origins: origins)
        self.logger = logger
        server = HTTPServer(limits: limits, logger: logger)
        router = Self.routes(control).buildResponder()
    }

    private static func routes(_ control: ControlPlane) -> Router<HTTPContext> {
        let health = control.health
        let router = Router(context: HTTPContext.self)
        router.route("/", [.get: { _, _ in .json(.ok, ["status": "alive"]) }])
        router.route(
            "/healthz",
            [
                .get: { _, _ in
                    health.status(of: "") == .serving
                        ? .text(.ok, "serving") : .text(.serviceUnavailable, "the gateway takes no new calls")
                }
            ])
        ManagementAPI(control).add(to: router)
        router.route(
            "/openapi.json",
            [
                .get: { _, _ in
                    .json(.ok, try OpenAPIDocument.make(await control.management.list(Pb_Empty()).functions))
                }
            ])
        router.route("/docs", [.get: { _, _ in .page(PackageResources.docs_html) }])
        return router
    }

    /// Adds a connection by its connected, non-blocking socket, which the service owns from now on.
    package func adopt(_ descriptor: Int32, _ spoken: ConnectionProtocol) {
        server.adopt(descriptor, spoken, for: self)
    }

    /// Whether a request is not answered yet.
    var isBusy: Bool { requests.load(ordering: .relaxed) > 0 }

    func shutdown() async { await server.shutdown() }
    func closeAll() { server.closeAll() }
    func stop() { server.stop() }

    // MARK: Requests

    /// Whether connections take no further requests.
    var isDraining: Bool { !gate.isOpen }

    func requestBegan() {
        requests.add(1, ordering: .relaxed)
    }

    func requestEnded() {
        requests.subtract(1, ordering: .relaxed)
    }

    /// Checks a request by its head, before its body is read.
    ///
    /// - Parameter address: the address of this machine that the connection came to; nil where it is not known.
    func admit(_ head: HTTPRequest, at address: String?) -> Admission {
        var admission = Admission()
        admission.fields[.date] = HTTPDate.now
        if let refusal = origins.refusal(of: head, at: address) {
            admission.refusal = HTTPRefusal(refusal)
        } else if let origin = origins.allowedOrigin(of: head) {
            admission.fields[.accessControlAllowOrigin] = origin
            admission.fields[.vary] = "Origin"
            if let preflight = OriginCheck.preflight(of: head) {
                admission.refusal = HTTPRefusal(status: .noContent, text: "", fields: preflight)
            }
        }
        return admission
    }

    /// Answers a request that is not a call.
    func respond(to request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws {
        requestBegan()
        defer { requestEnded() }
        var response: Response
        do {
            response = try await router.respond(
                to: request,
                context: HTTPContext(source: ApplicationRequestContextSource(channel: channel, logger: logger)))
        } catch let failure as CallFailure {
            response = .json(failure.status, FailureText(failure))
            response.headers.append(contentsOf: failure.fields)
        }
        // The router's own answer to a path that it does not know has no words.
        if response.status == .notFound, response.body.contentLength == 0 {
            let path = (request.head.path ?? "/").prefix { $0 != "?" }.prefix(200)
            response = Response.text(.notFound, "there is nothing at \(path); calls go to /function/NAME")
        }
        if request.method == .head { response = response.createHeadResponse() }
        response.headers.append(contentsOf: admit(request.head, at: channel.localAddress?.ipAddress).fields)
        try await writer.write(response: response.head, body: response.body)
    }
}

/// The response to a request that is refused by its head.
struct HTTPRefusal {
    var status: HTTPResponse.Status
    var text: String
    var fields: HTTPFields

    init(status: HTTPResponse.Status, text: String, fields: HTTPFields) {
        self.status = status
        self.text = text
        self.fields = fields
    }

    init(_ refusal: OriginCheck.Refusal) {
        self.init(
            status: refusal.status, text: refusal.message + "\n",
            fields: [.contentType: "text/plain; charset=utf-8"])
    }
}
