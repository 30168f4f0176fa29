/// Where a gateway is: `tcp:HOST:PORT`, an IPv6 address in brackets.
package struct RelayAddress: Sendable, Equatable {
    package var host: String
    package var port: UInt16

    /// Nil for what is none.
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

    /// All of a list with commas between; nil where one is none.
    package static func list(_ text: String) -> [RelayAddress]? {
        var all: [RelayAddress] = []
        for one in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let address = RelayAddress(String(one)) else { return nil }
            all.append(address)
        }
        return all
    }
}

extension RelayAddress: CustomStringConvertible {
    package var description: String { "tcp:\(host.contains(":") ? "[\(host)]" : host):\(port)" }
}
