/// The Python runtime, which travels inside this library.
enum RuntimeSources {
    /// A file's text; nil when there is no such file.
    ///
    /// - Parameter name: the file's name without `.py`.
    static func text(of name: String) -> [UInt8]? {
        switch name {
        case "batches": PackageResources.batches_py
        case "bootstrap": PackageResources.bootstrap_py
        case "chains": PackageResources.chains_py
        case "container": PackageResources.container_py
        case "context": PackageResources.context_py
        case "dcf": PackageResources.dcf_py
        case "dialing": PackageResources.dialing_py
        case "ending": PackageResources.ending_py
        case "errors": PackageResources.errors_py
        case "event_loop": PackageResources.event_loop_py
        case "faults": PackageResources.faults_py
        case "importing": PackageResources.importing_py
        case "info": PackageResources.info_py
        case "link": PackageResources.link_py
        case "loading": PackageResources.loading_py
        case "mesh": PackageResources.mesh_py
        case "once": PackageResources.once_py
        case "replies": PackageResources.replies_py
        case "serving": PackageResources.serving_py
        case "signals": PackageResources.signals_py
        case "sources": PackageResources.sources_py
        case "streams": PackageResources.streams_py
        case "template": PackageResources.template_py
        case "worker": PackageResources.worker_py
        default: nil
        }
    }
}
