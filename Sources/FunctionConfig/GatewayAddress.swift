/// The address of a gateway: `HOST:PORT`, `[IPV6]:PORT`, or a host alone for the default port.
package struct GatewayAddress: Sendable, Equatable, CustomStringConvertible {
    package static let portDefault = 32_222

    /// Without brackets.
    package let host: String
    package let port: Int

    /// Nil if the text is not an address.
    package init?(_ text: String) {
        var host = Substring(text)
        var port = Self.portDefault
        let hostEnd = text.hasPrefix("[") ? text.lastIndex(of: "]") : text.startIndex
        guard let hostEnd else { return nil }
        if let colon = text[hostEnd...].lastIndex(of: ":") {
            guard let number = Int(text[text.index(after: colon)...]), (1...65_535).contains(number) else { return nil }
            (host, port) = (text[..<colon], number)
        }
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { return nil }
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, host.utf8.allSatisfy(Self.isHostByte) else { return nil }
        self.host = String(host)
        self.port = port
    }

    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: ":"), UInt8(ascii: "%"):
            true
        default: false
        }
    }
}
