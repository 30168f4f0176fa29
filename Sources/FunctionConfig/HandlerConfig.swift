/// Where a function's code lies: `handler` in the config.
package struct HandlerConfig: Sendable, Equatable {
    /// The folder, relative to the config file's own. Without the key: the function's name.
    package var directory: String
    /// The file in that folder.
    package var file = "handler.py"
    /// The class, or plain function, in that file.
    package var name = "Handler"

    package init(directory: String) {
        self.directory = directory
    }
}
