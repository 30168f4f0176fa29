import CLinux
import Glibc

/// Resolves names with the image's own interpreter: a statically linked program cannot use the image's name services.
struct NameResolver {
    private static let seconds: Int32 = 10
    private static let answerBytesMax = 4_096
    private static let program = """
        import socket, sys
        for found in socket.getaddrinfo(sys.argv[1], None, type=socket.SOCK_STREAM):
            print(found[4][0])
        """

    let python: String

    /// The addresses of a name; empty when there are none, or the interpreter takes too long.
    func addresses(of name: String) -> [String] {
        var ends: [Int32] = [-1, -1]
        guard dcf_pipe2(&ends, O_CLOEXEC) == 0 else { return [] }
        defer { close(ends[0]) }
        let child = try? ChildProcess.spawn([python, "-I", "-c", Self.program, name], output: ends[1])
        close(ends[1])
        guard let child else { return [] }
        let text = readAll(ends[0])
        // `ContainerInit` reaps the child.
        if text == nil { kill(child, SIGKILL) }
        return (text ?? "").split(separator: "\n").map { String($0) }
    }

    private func readAll(_ input: Int32) -> String? {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: Self.answerBytesMax)
        while bytes.count < Self.answerBytesMax {
            var entry = pollfd(fd: input, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, Self.seconds * 1_000) > 0 else { return nil }
            let count = read(input, &part, part.count)
            guard count > 0 else { break }
            bytes += part.prefix(count)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
