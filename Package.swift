// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

/// For code that lives in the function's own process: nothing is loaded that it does not use.
let lean: [SwiftSetting] =
    strict + [
        .unsafeFlags([
            "-Xfrontend", "-disable-implicit-concurrency-module-import",
            "-Xfrontend", "-disable-implicit-string-processing-module-import",
        ])
    ]

/// Programs find their libraries beside themselves, or where `make install` puts them.
let installed: [LinkerSetting] = [.unsafeFlags(["-Xlinker", "-rpath", "-Xlinker", "$ORIGIN/../lib/dcf"])]

/// The launcher is one file that needs nothing: it must start in any image, so that it can report the image's faults.
let launcher: [LinkerSetting] = [.unsafeFlags(["-static-executable", "-use-ld=lld", "-Xlinker", "--gc-sections"])]

/// The library that a function's interpreter loads carries Swift's runtime in itself, hidden: no Swift where it runs,
/// and nothing of it meets what the handler loads.
let embedded: [LinkerSetting] = [
    .unsafeFlags([
        "-static-stdlib", "-use-ld=lld", "-Xlinker", "--gc-sections",
        // Makes the linker use the static libraries there, among them libstdc++.
        "-L\(Context.packageDirectory)/Watcher/PythonWatcher/Linking",
        "-Xlinker", "--version-script=\(Context.packageDirectory)/Watcher/PythonWatcher/Linking/exports.map",
    ])
]

/// Programs without the watcher carry Swift's runtime in themselves and only what they use of it, and have their
/// relocations packed (glibc 2.36 and later): a sixth less resident memory, and no Swift on the machine they run on.
let standalone: [LinkerSetting] = [
    .unsafeFlags(
        [
            "-static-stdlib", "-lFoundation", "-lFoundationInternationalization", "-l_FoundationICU",
            "-lFoundationEssentials", "-lCoreFoundation", "-l_FoundationCShims", "-l_FoundationCollections", "-lstdc++",
            "-use-ld=lld", "-Xlinker", "-z", "-Xlinker", "pack-relative-relocs",
        ], .when(configuration: .release))
]

let package = Package(
    name: "dcf",
    products: [
        .executable(name: "dcf", targets: ["dcf"]),
        .executable(name: "dcf-gateway", targets: ["dcf-gateway"]),
        .executable(name: "dcf-watcher", targets: ["dcf-watcher"]),
        .library(name: "PythonWatcher", type: .dynamic, targets: ["PythonWatcher"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    ],
    targets: [
        // The C side: declarations only.
        .systemLibrary(name: "CGRPC", path: "Sources/CGRPC"),
        .systemLibrary(name: "CLinux", path: "Sources/CLinux"),
        .systemLibrary(name: "COpenSSL", path: "Sources/COpenSSL"),
        .systemLibrary(name: "CZlib", path: "Sources/CZlib"),
        // And what stands before the C library where the gRPC core reads and writes.
        .target(name: "CSockets"),

        // The ground that everything else of the gateway and of `dcf` stands on.
        .target(
            name: "Platform",
            dependencies: ["CLinux", .product(name: "SystemPackage", package: "swift-system")], swiftSettings: strict),

        // What both ends share.
        .target(name: "GRPC", dependencies: ["CGRPC", "CLinux", "CSockets", "Platform"], swiftSettings: strict),
        .target(
            name: "GatewayProtocol",
            dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")],
            resources: [.embedInCode("Resources/descriptors.binpb")],
            swiftSettings: strict),
        .target(name: "WatcherLink", swiftSettings: lean),
        .target(name: "ProcessTree", dependencies: ["CLinux"], swiftSettings: lean),
        .target(
            name: "FunctionConfig",
            dependencies: [.product(name: "Yams", package: "Yams")],
            swiftSettings: strict),
        .target(
            name: "Environments",
            dependencies: [
                "COpenSSL", "Platform",
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),

        // Docker's side, for both programs.
        .target(
            name: "Engine",
            dependencies: [
                "FunctionConfig", "Platform",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: strict),

        // The daemon, each on those before it.
        .target(
            name: "Calls",
            dependencies: [
                "CLinux", "FunctionConfig", "Platform", .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: strict),
        .target(
            name: "Link",
            dependencies: [
                "CLinux", "Calls", "Platform", "WatcherLink", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(
            name: "ControlPlane",
            dependencies: [
                "CLinux", "Calls", "Engine", "Environments", "FunctionConfig", "GatewayProtocol", "Link", "Platform",
                "ProcessTree", "WatcherLink",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        // A front for each protocol.
        .target(
            name: "GatewayGRPC",
            dependencies: [
                "Calls", "ControlPlane", "GRPC", "GatewayProtocol", "Platform",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            swiftSettings: strict),
        .target(
            name: "GatewayHTTP",
            dependencies: [
                "CZlib", "Calls", "ControlPlane", "FunctionConfig", "GatewayProtocol", "Platform",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdHTTP2", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            resources: [.embedInCode("Resources/docs.html")],
            swiftSettings: strict),
        // All of them put together.
        .target(
            name: "Gateway",
            dependencies: [
                "Calls", "ControlPlane", "Environments", "FunctionConfig", "GatewayGRPC", "GatewayHTTP", "Link",
                "Platform",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "dcf-gateway",
            dependencies: [
                "ControlPlane", "Engine", "FunctionConfig", "Gateway", "GatewayGRPC", "Platform", "ProcessTree",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict, linkerSettings: installed + standalone),

        // The command line.
        .executableTarget(
            name: "dcf",
            dependencies: [
                "Engine", "Environments", "FunctionConfig", "GRPC", "GatewayProtocol", "Platform", "ProcessTree",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict, linkerSettings: installed + standalone),

        // The function's process.
        .systemLibrary(name: "CPython", path: "Watcher/CPython"),
        .target(
            name: "PythonWatcher",
            dependencies: ["CLinux", "CPython", "ProcessTree", "WatcherLink"],
            path: "Watcher/PythonWatcher",
            exclude: ["Linking", "Runtime/_dcf_watcher.pyi"],
            resources: [.embedInCode("Runtime")],
            swiftSettings: lean, linkerSettings: embedded),
        .target(
            name: "LinkRelay", dependencies: ["CLinux", "WatcherLink"], path: "Watcher/LinkRelay", swiftSettings: lean),
        .executableTarget(
            name: "dcf-watcher", dependencies: ["CLinux", "LinkRelay", "ProcessTree", "WatcherLink"],
            path: "Watcher/dcf-watcher", swiftSettings: lean,
            linkerSettings: launcher),

        .target(
            name: "TestSupport",
            dependencies: [
                "CLinux", "Calls", "Platform", "WatcherLink",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/TestSupport", swiftSettings: strict),
        .testTarget(name: "ModuleTests", swiftSettings: strict),
        .testTarget(name: "PlatformTests", dependencies: ["Platform"], swiftSettings: strict),
        .testTarget(name: "WatcherLinkTests", dependencies: ["WatcherLink"], swiftSettings: strict),
        .testTarget(name: "ProcessTreeTests", dependencies: ["ProcessTree"], swiftSettings: strict),
        .testTarget(
            name: "LinkRelayTests", dependencies: ["CLinux", "LinkRelay", "WatcherLink"], swiftSettings: strict),
        .testTarget(
            name: "EngineTests",
            dependencies: [
                "Engine",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "GRPCTests", dependencies: ["CLinux", "GRPC", "Platform", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "EnvironmentsTests",
            dependencies: [
                "Environments", "Platform", "TestSupport", .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        .testTarget(name: "FunctionConfigTests", dependencies: ["FunctionConfig"], swiftSettings: strict),
        .testTarget(
            name: "dcfTests",
            dependencies: [
                "dcf", "Environments", "FunctionConfig", "GRPC", "GatewayProtocol", "Platform",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "CallsTests", dependencies: ["Calls", "FunctionConfig", "Platform", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "LinkTests",
            dependencies: [
                "Calls", "Link", "Platform", "TestSupport", "WatcherLink",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "ControlPlaneTests",
            dependencies: [
                "CLinux", "Calls", "ControlPlane", "Engine", "Environments", "FunctionConfig", "GatewayProtocol",
                "Link",
                "Platform", "ProcessTree", "TestSupport", "WatcherLink",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "GatewayGRPCTests",
            dependencies: [
                "Calls", "GRPC", "GatewayGRPC", "GatewayProtocol", "Link", "Platform", "TestSupport", "WatcherLink",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "GatewayHTTPTests",
            dependencies: [
                "CZlib", "Calls", "GatewayHTTP", "Platform",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "GatewayTests", dependencies: ["ControlPlane", "FunctionConfig", "Gateway"], swiftSettings: strict),
        .testTarget(
            name: "GatewayProtocolTests",
            dependencies: ["GatewayProtocol", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
            swiftSettings: strict),
    ]
)
