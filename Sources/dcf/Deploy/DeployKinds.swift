import FunctionConfig
import GatewayProtocol

/// How functions are deployed: as their config says, else as the gateway says.
struct DeployKinds {
    /// How long the gateway may take to answer. Without an answer functions are processes.
    private static let timeout = Duration.seconds(2)

    private let standard: DeployKind
    /// Whether the kind is a guess because no gateway answered.
    private var isGuess = false

    /// - Parameter standard: the kind of functions whose config has no `deploy`.
    init(standard: DeployKind) {
        self.standard = standard
    }

    /// Asks the gateway if the config of a function has no `deploy`.
    init(of functions: [FunctionConfig], _ client: GatewayClient) async {
        guard functions.contains(where: { $0.kind == nil }) else {
            standard = .process
            return
        }
        let info: Pb_Message? = try? await client.unary(GatewayMethod.info.path, Pb_Empty(), timeout: Self.timeout)
        standard = info?.deploy == .asImage ? .image : .process
        isGuess = info == nil
    }

    /// Names the functions that count as processes only because no gateway answered. For commands that work without a
    /// gateway.
    func noteGuesses(of functions: [FunctionConfig], _ client: GatewayClient) {
        guard isGuess else { return }
        for function in functions where function.kind == nil {
            Console.note(
                "\(function.name): there is no \"deploy\" in the config and no gateway at \(client.location.address) "
                    + "to ask, so it counts as a process; write \"deploy: image\" in the config for an image")
        }
    }

    subscript(function: FunctionConfig) -> DeployKind { function.kind ?? standard }
}
