/// The names of the environment variables that a watcher reads, for the gateway, which sets them, and the watcher.
/// `Engine` and `dcf` do not import this module: they write `DCF_CONTAINER`, `DCF_ONCE` and `DCF_CONFIG` themselves.
///
/// The Python runtime reads most of them by these names too (`_dcf_replica.py`, `_dcf_container.py`, `_dcf_once.py`,
/// `_dcf_template.py`). A handler sees none of them.
package enum WatcherVariables {
    /// Where the gateway is: the path of a unix socket, also as `unix:PATH`; `tcp:HOST:PORT`, or a list of these with
    /// commas between; or `fd:NUMBER`, a connection that the process was started with.
    package static let link = "DCF_LINK"
    /// The token of this replica.
    package static let token = "DCF_TOKEN"
    /// A file with the token, instead of ``token``.
    package static let tokenFile = "DCF_TOKEN_FILE"
    /// The id of the cluster's task that this replica runs in.
    package static let task = "DCF_TASK"
    /// For how many seconds the replica goes on without a gateway.
    package static let returnSeconds = "DCF_RETURN"
    /// `1`: the process and its children can gain no privileges.
    package static let noNewPrivileges = "DCF_NO_NEW_PRIVS"
    /// `1`: the process makes one call, as `--once` says on a command line.
    package static let once = "DCF_ONCE"
    /// The modules that a template imports, with commas between.
    package static let preload = "DCF_PRELOAD"
}
