import ArgumentParser
import ControlPlane
import Engine
import FunctionConfig
import Gateway
import GatewayGRPC
import Glibc
import Logging
import Platform
import ProcessTree
import ServiceLifecycle

/// The daemon's command line: reads the flags, composes a gateway, and runs it until a signal.
@main
struct DCFGateway: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dcf-gateway",
        abstract: "Serves functions over gRPC and HTTP. Each stays warm in processes or containers of its own.",
        discussion: """
            Example:
              dcf-gateway --listen 127.0.0.1:32222 --data-dir /var/lib/dcf --limit queue=200

            SIGTERM and SIGINT stop the gateway after all accepted calls are finished. A second signal stops it at once.
            """,
        version: GatewayConfiguration.version)

    @Option(help: ArgumentHelp("The address to listen on. Port 0 picks a free port.", valueName: "host:port"))
    var listen = "127.0.0.1:32222"

    @Option(
        help: ArgumentHelp(
            """
            An address to answer HTTP on, beside --listen. May be given several times. "off": no HTTP at all, also \
            not on --listen.
            """, valueName: "host:port"))
    var http: [String] = []

    @Option(
        help: ArgumentHelp(
            "A name of this gateway that HTTP requests may have as their Host, beside its addresses and localhost.",
            valueName: "name"))
    var httpHost: [String] = []

    @Option(
        help: ArgumentHelp(
            "An origin such as https://app.example.org: its pages may call this gateway from a browser.",
            valueName: "origin"))
    var httpOrigin: [String] = []

    @Option(
        help: ArgumentHelp(
            "The folder for all data of the gateway (default: $XDG_DATA_HOME/dcf, else ~/.local/share/dcf).",
            valueName: "dir"))
    var dataDir: String?

    @Flag(
        help:
            "Ask the gateway at --listen whether it serves, then exit: with 0 if it does, else with 1 and the reason."
    )
    var healthy = false

    @Option(help: ArgumentHelp("Set a limit. May be given several times.", valueName: "name=value"))
    var limit: [String] = []

    @Flag(help: "List the limits with their values, then exit.")
    var limits = false

    @Option(
        help: ArgumentHelp(
            "The least severe messages to log: trace, debug, info, notice, warning, error or critical.",
            valueName: "level"))
    var logLevel = "info"

    @Option(
        help: ArgumentHelp("The interpreter of functions without \"python\" in their config.", valueName: "python"))
    var python: String?

    @Option(
        help: ArgumentHelp(
            "How functions without \"deploy\" in their config run: process, docker (containers) or swarm (services on "
                + "all nodes).",
            valueName: "engine"))
    var engine = EngineChoice.process

    @Flag(help: "Short for --engine swarm.")
    var swarm = false

    @Option(help: ArgumentHelp("With swarm: the address to listen on for tasks.", valueName: "host:port"))
    var linkListen = "0.0.0.0:32223"

    @Option(
        help: ArgumentHelp(
            "With swarm: the address that tasks connect to (default: this node's address with the port of "
                + "--link-listen). Port 0 means the port of --link-listen. With --group: a list with commas, this "
                + "gateway and the others.",
            valueName: "host:port"))
    var linkAdvertise: String?

    @Option(
        help: ArgumentHelp(
            "With swarm: the file with the secret of a group of gateways that serve each other's functions.",
            valueName: "file"))
    var group: String?

    @Option(
        help: ArgumentHelp("With swarm: the overlay network of tasks. Created if it does not exist.", valueName: "name")
    )
    var overlay = SwarmConfiguration.overlayDefault

    @Flag(help: "With swarm: allow an overlay network without encryption, for kernels without IPsec's ESP.")
    var overlayPlaintext = false

    @Flag(
        help:
            """
            Rebuild the registry of the data folder from the records and bundles beside it, report what was found, \
            then exit. The old registry is kept under another name.
            """
    )
    var rebuild = false

    @Flag(help: "Allow an address that other machines can reach, without encryption.")
    var allowPlaintext = false

    static func main() async {
        await main(ProcessArguments.words)
    }

    func run() async throws {
        var values = GatewayLimits()
        for assignment in limit {
            do throws(LimitError) {
                try values.set(assignment)
            } catch {
                throw ValidationError("\(error)")
            }
        }
        if limits {
            for limit in GatewayLimits.named { print("\(limit.name)=\(limit.value(in: values))\t\(limit.meaning)") }
            return
        }
        guard let level = Logger.Level(rawValue: logLevel) else {
            throw ValidationError(
                "--log-level: \"\(logLevel)\" is not one of "
                    + Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            )
        }
        Self.forbidDumps()
        if rebuild { return try rebuildRegistry() }
        let address = try Self.address(listen, of: "--listen")
        if healthy { return try await probe(address) }
        let output = OutputLog(bytesMax: values.control.ownLogQueueBytes) { dropped in
            OutputLogHandler.line(
                .warning, "dcf-gateway", " [Gateway] \(dropped) lines dropped: standard error was not read")
        }
        LoggingSystem.bootstrap { OutputLogHandler(label: $0, output: output) }
        var logger = Logger(label: "dcf-gateway")
        logger.logLevel = level
        let variables = GatewayConfiguration.ownVariables()
        do {
            let gateway = try Gateway(
                GatewayConfiguration(
                    address: address,
                    control: ControlConfiguration(
                        dataFolder: try dataFolder(variables), python: python, deploy: engineChosen.kind,
                        makeEngine: { () throws(EngineError) in Engine(try EngineEndpoint(variables: variables)) },
                        swarm: try swarmConfiguration(variables), launcher: try Programs.watcher(),
                        variables: variables),
                    limits: values, http: try httpSettings(), allowsPlaintext: allowPlaintext),
                logger: logger)
            try await SignalledRun(gateway, logger: logger, output: output).run()
            Self.end(ExitCode.success, after: output, values.control.logFlush)
        } catch {
            logger.critical("\(error)")
            Self.end(ExitCode.failure, after: output, values.control.logFlush)
        }
    }

    /// Switches core dumps off: they would write the callers' data to the disk.
    private static func forbidDumps() {
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
    }

    private func probe(_ address: HostAddress) async throws {
        guard address.port != 0 else {
            throw ValidationError("--healthy: name the gateway's port, such as --listen 127.0.0.1:32222")
        }
        guard let problem = await HealthProbe.problem(at: address) else {
            print("serving")
            Self.end(ExitCode.success)
        }
        Self.complain(problem)
        Self.end(ExitCode.failure)
    }

    /// Reports on standard output what was found and what was not, and errors on standard error.
    private func rebuildRegistry() throws {
        let outcome: RegistryRebuild.Outcome
        do {
            outcome = try RegistryRebuild(dataFolder: try dataFolder(GatewayConfiguration.ownVariables())).run()
        } catch {
            Self.complain("\(error)")
            throw ExitCode.failure
        }
        for sentence in outcome.found { print(sentence) }
        for sentence in outcome.missing { print("not restored: \(sentence)") }
        if let before = outcome.before { print("the old registry is now \(before)") }
        if let refusal = outcome.refusal {
            Self.complain("\(refusal); it is unchanged")
            throw ExitCode.failure
        }
        print("the registry is complete; start the gateway")
    }

    /// Ends the process without the destructors of C++ globals, because threads of the gRPC core may still use them.
    ///
    /// - Parameters:
    ///   - output: the log. Its waiting lines are written first.
    ///   - limit: how long writing them may take.
    private static func end(_ code: ExitCode, after output: OutputLog, _ limit: Duration) -> Never {
        output.flush(within: limit)
        end(code)
    }

    private static func end(_ code: ExitCode) -> Never {
        fflush(nil)
        _exit(code.rawValue)
    }

    private static func complain(_ sentence: String) {
        let text = "error: \(sentence)\n"
        _ = write(STDERR_FILENO, text, text.utf8.count)
    }

    private var engineChosen: EngineChoice { swarm ? .swarm : engine }

    /// Nil with `--http off`.
    private func httpSettings() throws -> HTTPSettings? {
        guard !http.contains("off") else {
            guard http == ["off"] else { throw ValidationError("--http: \"off\" and an address exclude each other") }
            return nil
        }
        for origin in httpOrigin where !origin.hasPrefix("http://") && !origin.hasPrefix("https://") {
            throw ValidationError(
                "--http-origin: \"\(origin)\" is not an origin, such as https://app.example.org or "
                    + "http://localhost:3000")
        }
        return HTTPSettings(
            addresses: try http.map { try Self.address($0, of: "--http") }, hosts: httpHost, origins: httpOrigin)
    }

    private func swarmConfiguration(_ variables: [String: String]) throws -> SwarmConfiguration? {
        guard engineChosen == .swarm else { return nil }
        let address = try Self.address(linkListen, of: "--link-listen")
        let advertised = try linkAdvertise?.split(separator: ",").map {
            try Self.address(String($0), of: "--link-advertise")
        }
        guard group == nil || (advertised ?? []).count > 1 else {
            throw ValidationError(
                "--group: --link-advertise must name all gateways of the group, such as 10.0.0.1:32223,10.0.0.2:32223")
        }
        return SwarmConfiguration(
            address: address, advertised: advertised ?? [], group: try swarmGroup(), overlay: overlay,
            allowsPlaintextOverlay: overlayPlaintext,
            makeEngine: { () throws(EngineError) in Engine(try EngineEndpoint(variables: variables)) })
    }

    private func swarmGroup() throws -> SwarmGroup? {
        guard let group else { return nil }
        let bytes: [UInt8]
        do throws(FileError) { bytes = try WholeFile.read(group, limit: 4_096) } catch {
            throw ValidationError("--group: \(error)")
        }
        let isSpace = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
        let secret = Array(bytes.drop(while: isSpace).reversed().drop(while: isSpace).reversed())
        guard let found = SwarmGroup(secret: secret) else {
            throw ValidationError(
                "--group: \(group) has \(secret.count) bytes, and a secret needs at least "
                    + "\(SwarmGroup.secretBytesMin); make one with: openssl rand -hex 32 > \(group)")
        }
        return found
    }

    private static func address(_ text: String, of option: String) throws -> HostAddress {
        guard let address = HostAddress(text) else {
            throw ValidationError("\(option): \"\(text)\" is not HOST:PORT (write an IPv6 address in brackets)")
        }
        return address
    }

    private func dataFolder(_ variables: [String: String]) throws -> String {
        if let dataDir { return Programs.absolute(dataDir) }
        if let data = variables["XDG_DATA_HOME"], data.hasPrefix("/") { return "\(data)/dcf" }
        guard let home = variables["HOME"], !home.isEmpty else {
            throw ValidationError("there is no folder for the gateway's data; give --data-dir, or set HOME")
        }
        return "\(home)/.local/share/dcf"
    }
}

/// The values of `--engine`: how functions without `deploy` in their config run.
enum EngineChoice: String, ExpressibleByArgument, CaseIterable {
    case process
    case docker
    case swarm

    var kind: DeployKind { self == .process ? .process : .image }
}
