import FunctionConfig
import Testing

@testable import dcf

/// The names of images, and the hint for a missing watcher's image.
@Suite struct ImageTests {
    private func function(_ yaml: String) throws -> FunctionConfig {
        try FunctionConfig.parse(yaml: yaml, name: try FunctionName("f"))
    }

    @Test(
        arguments: [
            ("{}", nil, "f", "f", false), ("{}", "r:5000", "f", "r:5000/f", true),
            ("image: me/f:1", "r:5000", "me/f:1", "r:5000/me/f:1", true),
            ("docker_registry: r.example", nil, "f", "r.example/f", true),
            ("docker_registry: r.example", "s:1", "f", "s:1/f", true),
            ("image: r.example/me/f", nil, "r.example/me/f", "r.example/me/f", true),
        ] as [(String, String?, String, String, Bool)])
    func aBuildUsesTheNameWithoutTheRegistry(
        yaml: String, registry: String?, local: String, reference: String, isPushed: Bool
    ) throws {
        let image = try FunctionImage(try function(yaml), registry: registry)
        #expect("\(image.local)" == local)
        #expect("\(image.reference)" == reference)
        #expect(image.isPushed == isPushed)
    }

    @Test(
        arguments: [
            ("Step 4/20 : FROM ${REGISTRY}/watcher:${WATCHER_VERSION} as watcher", "dcf/watcher:0.1.0"),
            ("Step 1/9 : FROM $REGISTRY/watcher:0.1.0-tensorflow AS w", "dcf/watcher:0.1.0-tensorflow"),
            ("Step 1/9 : FROM --platform=linux/amd64 dcf/watcher:1", "dcf/watcher:1"),
            ("Step 5/20 : FROM python:3.12-slim-bookworm", nil), ("Step 5/20 : COPY watcher /x", nil),
            ("Step 1/9 : FROM ${OTHER}/watcher:1", nil), ("Step 1/9 : FROM", nil), ("", nil),
        ] as [(String, String?)])
    func findsTheWatchersImage(step: String, image: String?) {
        #expect(ImageBuild.watcherImage(in: step, ["REGISTRY": "dcf", "WATCHER_VERSION": "0.1.0"]) == image)
    }
}
