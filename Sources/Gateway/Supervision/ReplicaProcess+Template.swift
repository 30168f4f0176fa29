internal import Environments

extension ReplicaProcess {
    /// Has a template start a replica and waits for the replica's end; cancelling the task kills it, and the
    /// template too.
    ///
    /// - Parameters:
    ///   - launch: what a process of its own would be started with; all that the template has already is left out.
    ///   - output, error, onStart: as for `run`.
    static func run(
        _ launch: ReplicaLaunch, from template: TemplateProcess, output: consuming OwnedDescriptor,
        error: consuming OwnedDescriptor, onStart: (ReplicaProcess) -> Void
    ) async throws(ReplicaProcessError) -> ReplicaExit {
        let common = template.key.variables
        let child = try await template.fork(
            variables: launch.variables.filter { common[$0.key] != $0.value },
            cpus: launch.cpus.map { CPUAffinity.choose($0) } ?? [], output: output, error: error, tree: launch.tree)
        let process = ReplicaProcess(child: child, tree: launch.tree)
        onStart(process)
        await withTaskCancellationHandler {
            _ = await child.end.value()
        } onCancel: {
            process.kill()
        }
        await process.ending()
        let exit = await template.reap(child)
        process.ended(exit)
        return exit
    }
}
