/// The address of a gateway: `tcp:HOST:PORT`, with an IPv6 address in brackets.
package struct RelayAddress: Sendable, Equatable {
    package var host: String
    package var port: UInt16

    /// Nil if the text is not an address.
    package init?(_ text: String) {
        let scheme = "tcp:"
        guard text.hasPrefix(scheme), let colon = text.lastIndex(of: ":"),
            let port = UInt16(text[text.index(after: colon)...]), port > 0
        else { return nil }
        let start = text.utf8.index(text.startIndex, offsetBy: scheme.utf8.count)
        guard start < colon else { return nil }
        var host = text[start..<colon]
        if host.first == "[" && host.last == "]" { host = host.dropFirst().dropLast() }
        guard !host.isEmpty else { return nil }
        self.host = String(host)
        self.port = port
    }

    /// Parses a list of addresses with commas between; nil if one of them is not an address.
    package static func list(_ text: String) -> [RelayAddress]? {
        var all: [RelayAddress] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let address = RelayAddress(String(part)) else { return nil }
            all.append(address)
        }
        return all
    }
}

extension RelayAddress: CustomStringConvertible {
    package var description: String { "tcp:\(host.contains(":") ? "[\(host)]" : host):\(port)" }
}
