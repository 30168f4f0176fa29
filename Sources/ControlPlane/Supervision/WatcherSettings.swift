internal import FunctionConfig

/// The settings that a watcher gets in its Welcome frame, as JSON. Times are in seconds, with a fraction; sizes are in
/// bytes.
///
/// | key | value |
/// |---|---|
/// | `name` | the function's name |
/// | `version` | the number of the version |
/// | `parameters` | `parameters` of the config, as the parser has written them |
/// | `timeout.call` | the longest a call may take |
/// | `timeout.start` | the longest the constructor may take |
/// | `limits.memory` | the largest memory of the replica; null is no limit |
/// | `limits.cpu` | how many processors the replica may use; null is no limit |
/// | `limits.gpu` | how many GPUs the replica has |
/// | `concurrency` | how many calls the handler gets at a time |
/// | `batch` | `max_size` and `retry`; null if the handler gets each call alone |
/// | `cancel` | `flag` or `raise`: how a running handler learns that its call was cancelled |
/// | `warmup` | `input`, a text, or `file`, a path in the function's folder; null is no warm-up |
/// | `stop` | how long the end of the replica may take |
struct WatcherSettings {
    let plan: FunctionPlan

    /// The text is put together by hand, because `parameters` is JSON text already, which an encoder cannot embed.
    var json: [UInt8] {
        let (config, limits) = (plan.config, plan.config.limits)
        let members: [(key: String, value: String)] = [
            ("name", plan.name.asJSONString),
            ("version", "\(plan.record.version)"),
            ("parameters", "\(config.parameters)"),
            ("timeout", Self.object([("call", plan.callTimeout.json), ("start", plan.startTimeout.json)])),
            (
                "limits",
                Self.object([
                    ("memory", limits.memory.map { "\($0)" } ?? "null"),
                    ("cpu", limits.cpu.map { "\($0)" } ?? "null"), ("gpu", "\(limits.gpu)"),
                ])
            ),
            ("concurrency", "\(config.concurrency)"),
            ("batch", batch),
            ("cancel", config.cancel.rawValue.asJSONString),
            ("warmup", warmup),
            ("stop", plan.stopLimit.json),
        ]
        return Array(Self.object(members).utf8)
    }

    private var batch: String {
        guard let batch = plan.config.batch else { return "null" }
        return Self.object([("max_size", "\(batch.sizeMax)"), ("retry", "\(batch.retry)")])
    }

    private var warmup: String {
        switch plan.config.warmup {
        case .input(let text): Self.object([("input", text.asJSONString)])
        case .file(let path): Self.object([("file", path.asJSONString)])
        case nil: "null"
        }
    }

    /// - Parameter members: keys that need no escapes, and values that are JSON.
    private static func object(_ members: [(key: String, value: String)]) -> String {
        "{" + members.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
    }
}

extension Duration {
    /// This duration in seconds, as a number in JSON.
    fileprivate var json: String { "\(inSeconds)" }
}
