internal import WatcherLink

/// How a watcher says which token is its own.
enum LinkClaim {
    case token(String)
    /// Over TCP, where the token is not sent.
    case proof(Hello.Proof, challenge: [UInt8])
}
