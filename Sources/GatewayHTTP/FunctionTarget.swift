/// What the target of a request says of a call: `/function/NAME[@VERSION][.openfaas-fn][/PATH][?QUERY]`. A value.
struct FunctionTarget: Equatable {
    private static let prefix = "/function/"
    /// The one namespace of OpenFaaS that there is. Its command line appends it to names.
    private static let namespace = ".openfaas-fn"

    /// The function's name, perhaps with `@` and a version.
    var function: String
    /// The rest of the path, with its slash and as it was sent; `/` where there is none.
    var path: String
    /// What follows the `?`, as it was sent.
    var query: String

    /// Of a request that is not a call.
    static let none = FunctionTarget(function: "", path: "/", query: "")

    private init(function: String, path: String, query: String) {
        self.function = function
        self.path = path
        self.query = query
    }

    /// Nil where the target does not begin with `/function/` and a name.
    init?(_ target: String) {
        guard target.hasPrefix(Self.prefix) else { return nil }
        let rest = target.dropFirst(Self.prefix.count)
        let end = rest.firstIndex(of: "?") ?? rest.endIndex
        query = end == rest.endIndex ? "" : String(rest[rest.index(after: end)...])
        let slash = rest[..<end].firstIndex(of: "/") ?? end
        path = slash == end ? "/" : String(rest[slash..<end])
        guard let name = Self.decoded(rest[..<slash]), !name.isEmpty else { return nil }
        function = name.hasSuffix(Self.namespace) ? String(name.dropLast(Self.namespace.count)) : name
    }

    /// The namespace that the name has, where it is not the one that there is; nil otherwise. No name has a dot.
    var foreignNamespace: Substring? {
        function.firstIndex(of: ".").map { function[function.index(after: $0)...] }
    }

    /// Replaces each `%` and two digits by the byte that they stand for (RFC 3986, 2.1); nil where the digits are none,
    /// or the bytes are not UTF-8.
    static func decoded(_ text: Substring) -> String? {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return String(text) }
        var bytes: [UInt8] = []
        var rest = text.utf8
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
