import GatewayProtocol

/// Shows the events of a deploy: steps as a progress line, pip's lines when asked for, tracebacks always.
struct DeployProgress {
    let function: String
    let isVerbose: Bool
    let line: ProgressLine

    /// The function, when the event says that it is Ready.
    func show(_ event: Pb_DeployEvent) -> Pb_Function? {
        switch event.event {
        case .progress(let step): line.step("\(function): \(step)")
        case .output(let output): if isVerbose { line.line(output.trimmedAtEnd) }
        case .traceback(let traceback): line.line(traceback.trimmedAtEnd)
        case .done(let function): return function
        case nil: break
        }
        return nil
    }
}
