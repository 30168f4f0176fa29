import FunctionConfig

extension LoadedConfig {
    /// Throws the first fault of these functions: a key that has no meaning as they are deployed, a folder or a handler file
    /// that is not there.
    func check(_ functions: [FunctionConfig], as kinds: DeployKinds) throws(CommandFailure) {
        for function in functions {
            var function = function
            if kinds[function] == .process {
                let process = function.asProcess()
                function = process.function
                for key in process.ignored {
                    Console.note("\(key) is for images; \(function.name) runs as a process, and it is not looked at")
                }
            }
            do {
                try function.requireSupported(as: kinds[function])
            } catch {
                throw CommandFailure(error)
            }
            // An image that is used as it is has its handler in it.
            guard !function.skipBuild else { continue }
            try HandlerCheck(function: function, directory: directory(of: function)).requireFiles()
        }
    }
}
