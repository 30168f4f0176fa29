@testable import GatewayHTTP
import Testing

@Suite struct FunctionTargetTests {
    @Test(arguments: [
        ("/function/echo", "echo", "/", ""),
        ("/function/echo/", "echo", "/", ""),
        ("/function/echo@2", "echo@2", "/", ""),
        ("/function/echo%402", "echo@2", "/", ""),
        ("/function/echo.openfaas-fn", "echo", "/", ""),
        ("/function/echo.openfaas-fn/a/b?c=d", "echo", "/a/b", "c=d"),
        ("/function/echo?a=1&b=%20", "echo", "/", "a=1&b=%20"),
        ("/function/echo/x%2Fy?", "echo", "/x%2Fy", ""),
        ("/function/echo?a?b/c", "echo", "/", "a?b/c"),
        ("/function/Echo_Two", "Echo_Two", "/", ""),
        ("/function/%C3%A9", "é", "/", ""),
    ])
    func reads(_ text: String, _ function: String, _ path: String, _ query: String) throws {
        let target = try #require(FunctionTarget(text))
        #expect(target.function == function)
        #expect(target.path == path)
        #expect(target.query == query)
    }

    @Test func theOneNamespaceNeedNotBeNamed() throws {
        #expect(try #require(FunctionTarget("/function/echo.openfaas-fn")).foreignNamespace == nil)
        #expect(try #require(FunctionTarget("/function/echo.other")).foreignNamespace == "other")
    }

    @Test(arguments: [
        "", "/", "/function", "/function/", "/function//a", "/function/?a", "/functions/echo", "function/echo",
        "/function/%", "/function/%4", "/function/%zz", "/function/%FF",
    ])
    func isNoCall(_ text: String) {
        #expect(FunctionTarget(text) == nil)
    }
}
