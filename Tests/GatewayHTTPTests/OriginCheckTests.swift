@testable import GatewayHTTP
import HTTPTypes
import Testing

@Suite struct OriginCheckTests {
    private func request(_ authority: String?, _ fields: HTTPFields = [:]) -> HTTPRequest {
        HTTPRequest(method: .post, scheme: "http", authority: authority, path: "/function/echo", headerFields: fields)
    }

    private let check = OriginCheck(hosts: ["Models.example.org"], origins: ["https://App.example.org"])

    @Test(arguments: [
        ("localhost", "127.0.0.1"), ("localhost:32222", "127.0.0.1"), ("LOCALHOST:1", "127.0.0.1"),
        ("127.0.0.1:32222", "127.0.0.1"), ("127.0.0.1", "::1"), ("[::1]:32222", "::1"), ("[::1]", "127.0.0.1"),
        ("models.example.org:8080", "127.0.0.1"), ("MODELS.example.org", "10.0.0.7"),
        ("10.0.0.7:32222", "10.0.0.7"), ("192.0.2.9:80", "172.17.0.2"), ("[2001:db8::1]:80", "172.17.0.2"),
        ("localhost", "10.0.0.7"),
    ])
    func ourNamesPass(_ authority: String, _ address: String) {
        #expect(check.refusal(of: request(authority), at: address) == nil)
    }

    @Test(arguments: [
        ("evil.example", "127.0.0.1"), ("evil.example:32222", "127.0.0.1"), ("localhost.evil.example", "127.0.0.1"),
        ("127.0.0.1.evil.example", "127.0.0.1"), ("192.0.2.9", "127.0.0.1"), ("127.0.0.1", "10.0.0.7"),
        ("evil.example", "10.0.0.7"), ("[::1", "127.0.0.1"), ("models.example.org.", "127.0.0.1"),
    ])
    func otherNamesDoNot(_ authority: String, _ address: String) {
        #expect(check.refusal(of: request(authority), at: address) == .host(authority))
    }

    @Test func aRequestHasAHost() {
        #expect(check.refusal(of: request(nil), at: "127.0.0.1") == .noHost)
        #expect(check.refusal(of: request(""), at: "127.0.0.1") == .noHost)
        #expect(OriginCheck.Refusal.noHost.status == .badRequest)
        #expect(OriginCheck.Refusal.host("x").status == .forbidden)
    }

    @Test func ourOwnPageMayCall() {
        let fields: HTTPFields = [.origin: "http://localhost:32222", .secFetchSite: "same-origin"]
        #expect(check.refusal(of: request("localhost:32222", fields), at: "127.0.0.1") == nil)
    }

    @Test(arguments: [
        "http://localhost:3000", "https://localhost:32222", "http://evil.example", "null",
        "http://localhost:32222.evil",
    ])
    func otherPagesMayNot(_ origin: String) {
        let refusal = check.refusal(of: request("localhost:32222", [.origin: origin]), at: "127.0.0.1")
        #expect(refusal == .origin(origin))
    }

    @Test(arguments: ["cross-site", "same-site"]) func norWithoutAnOrigin(_ site: String) {
        let refusal = check.refusal(of: request("localhost:32222", [.secFetchSite: site]), at: "127.0.0.1")
        #expect(refusal == .site(site))
    }

    @Test func aUserWhoTypesTheAddressMay() {
        #expect(check.refusal(of: request("localhost:32222", [.secFetchSite: "none"]), at: "127.0.0.1") == nil)
    }

    @Test func anAllowedPageMayCallAndIsTold() {
        let fields: HTTPFields = [.origin: "https://app.example.org", .secFetchSite: "cross-site"]
        let allowed = request("localhost:32222", fields)
        #expect(check.refusal(of: allowed, at: "127.0.0.1") == nil)
        #expect(check.allowedOrigin(of: allowed) == "https://app.example.org")
        #expect(check.allowedOrigin(of: request("localhost:32222", [.origin: "http://localhost:32222"])) == nil)
        #expect(check.refusal(of: request("evil.example", fields), at: "127.0.0.1") == .host("evil.example"))
    }
}
