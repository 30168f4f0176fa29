import FunctionConfig
import GRPC
import GatewayProtocol

/// What functions are deployed as: as their config says, else as the gateway was started for.
struct DeployKinds {
    /// How long the gateway may take to say; without one functions are processes.
    private static let timeout = Duration.seconds(2)

    private let standard: DeployKind
    /// Whether no gateway has said so.
    private var isGuess = false

    /// - Parameter standard: what functions are whose config does not say.
    init(standard: DeployKind) {
        self.standard = standard
    }

    /// Asks the gateway where a function's config does not say.
    init(of functions: [FunctionConfig], _ client: GatewayClient) async {
        guard functions.contains(where: { $0.deploy == nil }) else {
            standard = .process
            return
        }
        let info: Pb_Message? = try? await client.unary(GatewayMethod.info, Pb_Empty(), timeout: Self.timeout)
        standard = info?.deploy == .asImage ? .image : .process
        isGuess = info == nil
    }

    /// Says what is taken for a process because nobody said what it is: for commands that do without a gateway.
    func noteGuesses(of functions: [FunctionConfig], _ client: GatewayClient) {
        guard isGuess else { return }
        for function in functions where function.deploy == nil {
            Console.note(
                "\(function.name): no gateway at \(client.location.address) says whether functions are processes or images, so "
                    + "this is a process; \"deploy: image\" in the config makes it an image")
        }
    }

    subscript(function: FunctionConfig) -> DeployKind { function.deploy ?? standard }
}
