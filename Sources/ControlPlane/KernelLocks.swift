internal import Glibc
internal import Platform

/// Finds the holders of file locks in the kernel's own list.
enum KernelLocks {
    /// The process that holds a `flock` on the file of this descriptor. Nil if the kernel does not show it, for example
    /// because the process is in another container.
    static func holder(of descriptor: Int32) -> pid_t? {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        // The bits of major and minor number, as glibc packs them.
        let number = status.st_dev
        let major = (number >> 8) & 0xFFF | (number >> 32) & ~0xFFF
        let minor = number & 0xFF | (number >> 12) & ~0xFF
        guard let text = try? String(contentsOfKernelFile: "/proc/locks") else { return nil }
        // 1: FLOCK  ADVISORY  WRITE 4711 fe:01:1835042 0 EOF
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count > 5, words[1] == "FLOCK",
                words[5] == "\(hexadecimal(major)):\(hexadecimal(minor)):\(status.st_ino)",
                let pid = pid_t(words[4]), pid > 0
            else { continue }
            return pid
        }
        return nil
    }

    private static func hexadecimal(_ number: dev_t) -> String {
        let digits = String(number, radix: 16)
        return digits.utf8.count < 2 ? "0" + digits : digits
    }
}

extension String {
    /// Reads a file of /proc. Such a file has no size before it is read.
    fileprivate init(contentsOfKernelFile path: String) throws(FileError) {
        self.init(decoding: try WholeFile.read(path, limit: 4 << 20), as: UTF8.self)
    }
}
