/// The Python runtime, which this library contains: the files of the folder `Runtime`.
enum RuntimeSources {
    /// The text of a module; nil when there is no such module.
    ///
    /// - Parameter name: the module's name, which is its file's name without `.py`.
    static func text(of name: String) -> [UInt8]? {
        switch name {
        case "_dcf_batches": PackageResources._dcf_batches_py
        case "_dcf_bootstrap": PackageResources._dcf_bootstrap_py
        case "_dcf_chains": PackageResources._dcf_chains_py
        case "_dcf_container": PackageResources._dcf_container_py
        case "_dcf_context": PackageResources._dcf_context_py
        case "_dcf_dialing": PackageResources._dcf_dialing_py
        case "_dcf_ending": PackageResources._dcf_ending_py
        case "_dcf_errors": PackageResources._dcf_errors_py
        case "_dcf_event_loop": PackageResources._dcf_event_loop_py
        case "_dcf_faults": PackageResources._dcf_faults_py
        case "_dcf_http": PackageResources._dcf_http_py
        case "_dcf_importing": PackageResources._dcf_importing_py
        case "_dcf_info": PackageResources._dcf_info_py
        case "_dcf_loading": PackageResources._dcf_loading_py
        case "_dcf_once": PackageResources._dcf_once_py
        case "_dcf_replica": PackageResources._dcf_replica_py
        case "_dcf_replies": PackageResources._dcf_replies_py
        case "_dcf_serving": PackageResources._dcf_serving_py
        case "_dcf_signals": PackageResources._dcf_signals_py
        case "_dcf_sources": PackageResources._dcf_sources_py
        case "_dcf_streams": PackageResources._dcf_streams_py
        case "_dcf_template": PackageResources._dcf_template_py
        case "_dcf_worker": PackageResources._dcf_worker_py
        case "dcf": PackageResources.dcf_py
        case "mesh": PackageResources.mesh_py
        default: nil
        }
    }
}
