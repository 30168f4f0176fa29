/// What a template says to the gateway. Fields are separated by zero bytes.
enum TemplateReport: Equatable {
    /// The imports are done.
    case ready
    /// The imports failed, or left something behind that does not survive a fork.
    case refused(ConstructorFailure)
    /// A replica's process is there, and waits at its gate.
    case forked(number: UInt64, pid: Int32)
    case failed(number: UInt64, reason: String)
    /// A process that was to be reaped has been; the status is wait's.
    case ended(pid: Int32, status: Int32)

    /// Nil for what no template says.
    init?(_ message: [UInt8]) {
        let fields = message.split(separator: 0, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        switch (fields[0], fields.count) {
        case ("ready", 1): self = .ready
        case ("refused", 3): self = .refused(ConstructorFailure(summary: fields[1], traceback: fields[2]))
        case ("forked", 3):
            guard let number = UInt64(fields[1]), let pid = Int32(fields[2]), pid > 1 else { return nil }
            self = .forked(number: number, pid: pid)
        case ("failed", 3):
            guard let number = UInt64(fields[1]) else { return nil }
            self = .failed(number: number, reason: fields[2])
        case ("ended", 3):
            guard let pid = Int32(fields[1]), let status = Int32(fields[2]) else { return nil }
            self = .ended(pid: pid, status: status)
        default: return nil
        }
    }
}
