import FunctionConfig

extension LoadedConfig {
    /// As `functions(named:)`, each checked: no key that is not supported yet, the folder and the handler file there.
    func deployable(named names: [String]) throws(CommandFailure) -> [FunctionConfig] {
        let functions = try functions(named: names)
        for function in functions {
            do {
                try function.requireSupported()
            } catch {
                throw CommandFailure(error)
            }
            try HandlerCheck(function: function, directory: directory(of: function)).requireFiles()
        }
        return functions
    }
}
