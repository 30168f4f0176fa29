internal import CLinux
internal import Glibc
internal import Platform

/// The stacks of all threads of this process, collected by one of them.
///
/// Each thread records its own stack in a signal handler. The handler takes no lock, allocates nothing and writes to
/// memory that it is given, so it works whatever locks the threads hold.
enum ThreadStacks {
    /// How long all threads together have to answer. A thread that waits for a device does not handle signals.
    private static let answerTime: Int64 = 500_000_000
    private static let pauseNanos = 1_000_000

    /// Loads the unwinder, which takes locks. Call it before anything stalls.
    static func prepare() {
        dcf_stack_prepare()
    }

    /// A line for each thread, and one for each of its frames, the innermost first.
    static func all() -> [String] {
        let symbols = SymbolTable(of: "/proc/self/exe")
        let threads = ((try? Folder.names(at: "/proc/self/task")) ?? []).compactMap { pid_t($0) }
        let asked = threads.sorted().map { thread in
            let stack = UnsafeMutablePointer<dcf_stack>.allocate(capacity: 1)
            stack.initialize(to: dcf_stack())
            return (thread, stack, dcf_stack_ask(thread, stack) == 0)
        }
        let end = dcf_monotonic_nanoseconds() + answerTime
        while asked.contains(where: { $0.2 && dcf_stack_is_done($0.1) == 0 }), dcf_monotonic_nanoseconds() < end {
            var pause = timespec(tv_sec: 0, tv_nsec: pauseNanos)
            nanosleep(&pause, nil)
        }
        return asked.flatMap { thread, stack, isAsked -> [String] in
            guard isAsked else {
                stack.deallocate()
                return []
            }
            // A thread that answers later still writes to this memory, so it is not freed.
            guard dcf_stack_is_done(stack) != 0 else { return [silent(thread)] }
            defer { stack.deallocate() }
            return ["thread \(thread) \(name(thread)):"] + frames(stack, symbols).map { "    \($0)" }
        }
    }

    private static func frames(_ stack: UnsafeMutablePointer<dcf_stack>, _ symbols: SymbolTable?) -> [String] {
        // The first two frames are the handler and its caller.
        (2..<max(stack.pointee.count, 2)).compactMap { index in
            guard let address = dcf_stack_frame(stack, index) else { return nil }
            return describe(UInt(bitPattern: address), symbols)
        }
    }

    private static func describe(_ address: UInt, _ symbols: SymbolTable?) -> String {
        var info = dcf_place()
        guard dcf_glibc_dladdr(UnsafeRawPointer(bitPattern: address), &info) != 0, let base = info.base else {
            return "0x\(String(address, radix: 16))"
        }
        let offset = address - UInt(bitPattern: base)
        let object = info.file.map { String(cString: $0) } ?? "?"
        let place = "\(object.split(separator: "/").last ?? "?")+0x\(String(offset, radix: 16))"
        if let name = info.name.map({ String(cString: $0) }) { return "\(place) \(SymbolTable.readable(name))" }
        // The dynamic linker does not know the names of the program's own functions.
        guard let name = symbols?.name(at: offset, base: UInt(bitPattern: base)) else { return place }
        return "\(place) \(SymbolTable.readable(name))"
    }

    /// Describes a thread that does not answer by what the kernel knows of it.
    private static func silent(_ thread: pid_t) -> String {
        let wait = text("/proc/self/task/\(thread)/wchan")
        let state = text("/proc/self/task/\(thread)/stat").split(separator: ")").last?.prefix(2).dropFirst() ?? "?"
        return
            "thread \(thread) \(name(thread)): does not answer (state \(state), in the kernel at \(wait.isEmpty ? "?" : wait))"
    }

    private static func name(_ thread: pid_t) -> String {
        String(text("/proc/self/task/\(thread)/comm").prefix { $0 != "\n" })
    }

    private static func text(_ path: String) -> String {
        String(decoding: (try? WholeFile.read(path, limit: 4_096)) ?? [], as: UTF8.self)
    }
}
