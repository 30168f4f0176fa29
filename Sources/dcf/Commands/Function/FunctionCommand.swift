import ArgumentParser

/// The command group `dcf function`.
struct FunctionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "function",
        abstract: "Creates, deploys, calls and manages functions.",
        discussion: """
            Example:
              dcf function list
            """,
        subcommands: [
            FunctionInit.self, FunctionBuild.self, FunctionRun.self, FunctionDeploy.self, FunctionCreate.self,
            FunctionList.self, FunctionCall.self, FunctionInfo.self, FunctionLog.self, FunctionDelete.self,
            FunctionRestart.self, FunctionScale.self, FunctionVersions.self, FunctionRollback.self,
            FunctionTraffic.self,
        ],
        aliases: ["fn"])
}
