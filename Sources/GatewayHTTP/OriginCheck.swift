internal import Glibc
internal import HTTPTypes

/// Keeps web pages of other origins out. A browser lets any page send requests to addresses that the browser can reach,
/// also to a gateway that listens on this machine alone; and a page can give a name of its own to such an address.
///
/// A request passes by its `Host` (RFC 9110, 7.2), its `Origin` (RFC 6454, 7) and its `Sec-Fetch-Site`
/// (https://www.w3.org/TR/fetch-metadata/). Programs other than browsers send a `Host` alone. A value.
struct OriginCheck: Sendable {
    /// Names of the gateway beside its addresses, in lower case and without a port.
    private let hosts: Set<String>
    /// Origins of other pages that may call, such as `https://app.example.org`.
    private let origins: Set<String>

    init(hosts: [String], origins: [String]) {
        self.hosts = Set(hosts.map { $0.lowercased() })
        self.origins = Set(origins.map { $0.lowercased() })
    }

    /// Why a request is refused.
    enum Refusal: Equatable {
        /// There is no `Host`.
        case noHost
        case host(String)
        case origin(String)
        case site(String)
    }

    /// Why the request is refused; nil where it may pass.
    ///
    /// - Parameter address: the address of this machine that the connection came to; nil where it is not known.
    func refusal(of request: HTTPRequest, at address: String?) -> Refusal? {
        let named = request.headerFields[.hostName]
        guard let authority = (request.authority ?? named)?.lowercased(), !authority.isEmpty else { return .noHost }
        // With HTTP/2 there may be both.
        if let named, named.lowercased() != authority { return .host(named) }
        guard let host = Self.host(of: authority), isOurs(host, address) else { return .host(authority) }
        if let origin = request.headerFields[.origin]?.lowercased() {
            if origins.contains(origin) { return nil }
            guard origin == "http://\(authority)" else { return .origin(origin) }
        }
        if let site = request.headerFields[.secFetchSite]?.lowercased(), site != "same-origin", site != "none" {
            return .site(site)
        }
        return nil
    }

    /// The origin of a page that may read the answer, for the headers of CORS; nil for any other request.
    func allowedOrigin(of request: HTTPRequest) -> String? {
        guard let origin = request.headerFields[.origin], origins.contains(origin.lowercased()) else { return nil }
        return origin
    }

    /// The headers that answer a browser's question whether a page may send a request, for a page that may; nil for
    /// any other request (https://fetch.spec.whatwg.org/#cors-preflight-request).
    static func preflight(of request: HTTPRequest) -> HTTPFields? {
        guard request.method == .options, let method = request.headerFields[.accessControlRequestMethod] else {
            return nil
        }
        var fields = HTTPFields()
        fields[.accessControlAllowMethods] = method
        fields[.accessControlAllowHeaders] = request.headerFields[.accessControlRequestHeaders]
        fields[.accessControlMaxAge] = "600"
        return fields
    }

    private func isOurs(_ host: String, _ address: String?) -> Bool {
        if host == "localhost" || host == address || hosts.contains(host) { return true }
        guard let address, Self.isNumeric(host) else { return false }
        // 127.0.0.1 and ::1 are one machine. From outside the address may be another one than here, for example the one
        // of the host of a container. A page can give its names to our address, but not its own address to us.
        return Self.isLoopback(host) == Self.isLoopback(address)
    }

    private static func isLoopback(_ address: String) -> Bool {
        address == "::1" || address.hasPrefix("127.") || address.hasPrefix("::ffff:127.")
    }

    /// Whether it is an address and not a name.
    private static func isNumeric(_ host: String) -> Bool {
        var bytes = in6_addr()
        return inet_pton(AF_INET, host, &bytes) == 1 || inet_pton(AF_INET6, host, &bytes) == 1
    }

    /// The host without its port and its brackets; nil where it is neither a host nor a host and a port.
    private static func host(of authority: String) -> String? {
        var host = authority[...]
        var rest = Substring()
        if host.hasPrefix("[") {
            guard let end = host.firstIndex(of: "]") else { return nil }
            rest = host[host.index(after: end)...]
            host = host[..<end].dropFirst()
        } else if let colon = host.firstIndex(of: ":") {
            rest = host[colon...]
            host = host[..<colon]
        }
        guard rest.isEmpty || (rest.hasPrefix(":") && rest.dropFirst().allSatisfy(\.isWholeNumber)) else { return nil }
        return String(host)
    }
}

extension OriginCheck.Refusal {
    var status: HTTPResponse.Status { self == .noHost ? .badRequest : .forbidden }

    var message: String {
        switch self {
        case .noHost: "the request has no Host"
        case .host(let name):
            "this gateway is not known as \"\(name.prefix(100))\"; start it with --http-host for each further name"
        case .origin(let origin):
            "a page of \"\(origin.prefix(100))\" may not call this gateway; allow it with --http-origin"
        case .site: "a page of another site may not call this gateway; allow its origin with --http-origin"
        }
    }
}
