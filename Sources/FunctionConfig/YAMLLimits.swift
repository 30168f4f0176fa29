/// What keeps a config from being a bomb: aliases multiply what a short text stands for.
enum YAMLLimits {
    /// UTF-8 bytes of a whole config.
    static let textBytesMax = 1 << 20
    /// Mappings and lists in one another.
    static let depthMax = 100
    /// Nodes of one function's part, aliases resolved.
    static let nodesMax = 100_000
}
