import ArgumentParser
import Engine
import Environments
import Gateway
import Glibc
import Logging
import ProcessTree
import ServiceLifecycle

/// The daemon's command line: flags in, a gateway composed, run until a signal.
@main
struct DCFGateway: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dcf-gateway",
        abstract: "Serves functions: keeps each warm in a process of its own, and gives them calls over gRPC.",
        discussion: """
            Example:
              dcf-gateway --listen 127.0.0.1:32222 --data-dir /var/lib/dcf --limit queue=200

            SIGTERM and SIGINT finish accepted calls and then stop; a second signal stops at once.
            """,
        version: GatewayConfiguration.version)

    @Option(help: ArgumentHelp("Where to listen; port 0 picks a free one.", valueName: "host:port"))
    var listen = "127.0.0.1:32222"

    @Option(
        help: ArgumentHelp(
            "Everything the gateway keeps (default: $XDG_DATA_HOME/dcf, else ~/.local/share/dcf).", valueName: "dir"))
    var dataDir: String?

    @Flag(
        help:
            "Asks the gateway that listens at --listen whether it serves, and ends: with 0 where it does, else with 1 and why."
    )
    var healthy = false

    @Option(help: ArgumentHelp("Sets a limit; may be given several times.", valueName: "name=value"))
    var limit: [String] = []

    @Flag(help: "Lists the limits with their values, and ends.")
    var limits = false

    @Option(help: ArgumentHelp("trace, debug, info, notice, warning, error or critical.", valueName: "level"))
    var logLevel = "info"

    @Option(help: ArgumentHelp("The interpreter of functions that name none.", valueName: "python"))
    var python: String?

    @Option(
        help: ArgumentHelp(
            "What functions are whose config does not say: process, docker (containers) or swarm (services on all nodes).",
            valueName: "engine"))
    var engine = EngineChoice.process

    @Flag(help: "The same as --engine swarm.")
    var swarm = false

    @Option(help: ArgumentHelp("With swarm: where tasks are listened for.", valueName: "host:port"))
    var linkListen = "0.0.0.0:32223"

    @Option(
        help: ArgumentHelp(
            "With swarm: what tasks dial (default: this node's address, and the port of --link-listen; so is port 0). With "
                + "--group a list with commas: this gateway and the others.",
            valueName: "host:port"))
    var linkAdvertise: String?

    @Option(
        help: ArgumentHelp(
            "With swarm: a file with the secret of gateways that serve each other's functions.", valueName: "file"))
    var group: String?

    @Option(
        help: ArgumentHelp("With swarm: the overlay network of tasks, made where there is none.", valueName: "name"))
    var overlay = SwarmConfiguration.overlayDefault

    @Flag(help: "With swarm: the overlay network need not be encrypted; for kernels without IPsec's ESP.")
    var overlayPlaintext = false

    @Flag(
        help:
            "Makes the registry of the data folder again from the records and bundles that lie beside it, says what was found, and ends. The one that was there is kept under another name."
    )
    var rebuild = false

    @Flag(help: "Listen also where other machines can reach the gateway, without encryption.")
    var allowPlaintext = false

    static func main() async {
        await main(ProcessArguments.words)
    }

    func run() async throws {
        var values = Limits()
        for assignment in limit {
            do throws(Limits.NamedError) {
                try values.set(assignment)
            } catch {
                throw ValidationError("\(error)")
            }
        }
        if limits {
            for limit in Limits.named { print("\(limit.name)=\(limit.value(in: values))\t\(limit.meaning)") }
            return
        }
        guard let level = Logger.Level(rawValue: logLevel) else {
            throw ValidationError(
                "--log-level: \"\(logLevel)\" is none of \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))"
            )
        }
        Self.forbidDumps()
        if rebuild { return try rebuildRegistry() }
        let address = try Self.address(listen, of: "--listen")
        if healthy { return try await probe(address) }
        let output = OutputLog(bytesMax: values.ownLogQueueBytes) { dropped in
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
                    address: address, dataFolder: try dataFolder(variables), limits: values, python: python,
                    deploy: engineChosen.deploy,
                    makeEngine: { () throws(EngineError) in Engine(try EngineEndpoint(variables: variables)) },
                    swarm: try swarmConfiguration(variables), allowsPlaintext: allowPlaintext,
                    launcher: try Programs.watcher(), variables: variables),
                logger: logger)
            try await SignalledRun(gateway, logger: logger, output: output).run()
            Self.end(ExitCode.success, after: output, values.logFlush)
        } catch {
            logger.critical("\(error)")
            Self.end(ExitCode.failure, after: output, values.logFlush)
        }
    }

    /// What callers sent is not for the disk.
    private static func forbidDumps() {
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
    }

    private func probe(_ address: HostAddress) async throws {
        guard address.port != 0 else {
            throw ValidationError("--healthy: name the gateway's port, as --listen 127.0.0.1:32222")
        }
        guard let problem = await HealthProbe.problem(at: address) else {
            print("serving")
            Self.end(ExitCode.success)
        }
        Self.complain(problem)
        Self.end(ExitCode.failure)
    }

    /// Says on standard output what was found, on standard error what was not.
    private func rebuildRegistry() throws {
        let outcome: RegistryRebuild.Outcome
        do {
            outcome = try RegistryRebuild(dataFolder: try dataFolder(GatewayConfiguration.ownVariables())).run()
        } catch {
            Self.complain("\(error)")
            throw ExitCode.failure
        }
        for sentence in outcome.found { print(sentence) }
        for sentence in outcome.missing { print("not brought back: \(sentence)") }
        if let before = outcome.before { print("the registry that was there is \(before) now") }
        if let refusal = outcome.refusal {
            Self.complain("\(refusal); it is left as it is")
            throw ExitCode.failure
        }
        print("the registry is made; start the gateway")
    }

    /// Ends the process without the destructors of C++ globals, which the gRPC core's threads may be using.
    ///
    /// - Parameters:
    ///   - output: what was logged before is written, where it can be.
    ///   - limit: how long that may take.
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

    private func swarmConfiguration(_ variables: [String: String]) throws -> SwarmConfiguration? {
        guard engineChosen == .swarm else { return nil }
        let address = try Self.address(linkListen, of: "--link-listen")
        let advertised = try linkAdvertise?.split(separator: ",").map {
            try Self.address(String($0), of: "--link-advertise")
        }
        guard group == nil || (advertised ?? []).count > 1 else {
            throw ValidationError(
                "--group: --link-advertise must name all gateways of the group, as 10.0.0.1:32223,10.0.0.2:32223")
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
                "--group: \(group) holds \(secret.count) bytes, and a secret has at least \(SwarmGroup.secretBytesMin): "
                    + "openssl rand -hex 32 > \(group)")
        }
        return found
    }

    private static func address(_ text: String, of option: String) throws -> HostAddress {
        guard let address = HostAddress(text) else {
            throw ValidationError("\(option): \"\(text)\" is not HOST:PORT (an IPv6 address in brackets)")
        }
        return address
    }

    private func dataFolder(_ variables: [String: String]) throws -> String {
        if let dataDir { return Programs.absolute(dataDir) }
        if let data = variables["XDG_DATA_HOME"], data.hasPrefix("/") { return "\(data)/dcf" }
        guard let home = variables["HOME"], !home.isEmpty else {
            throw ValidationError("neither --data-dir nor HOME says where to keep things")
        }
        return "\(home)/.local/share/dcf"
    }
}
