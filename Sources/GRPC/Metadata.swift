internal import CGRPC

/// The metadata of a call: pairs of keys and values, in order. Keys are in lower case; a key that ends in `-bin` has
/// bytes as its value. A value type.
package struct Metadata: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    package var pairs: [(key: String, value: String)]

    package init(_ pairs: [(key: String, value: String)] = []) {
        self.pairs = pairs
    }

    package init(dictionaryLiteral elements: (String, String)...) {
        pairs = elements.map { (key: $0.0, value: $0.1) }
    }

    init(copying array: grpc_metadata_array) {
        pairs = (0..<array.count).map { (key: array.metadata[$0].key.text, value: array.metadata[$0].value.text) }
    }

    /// The size by HTTP/2's measure (RFC 9113, 10.5.1): each pair counts its name, its value and 32 bytes.
    package var bytes: Int {
        pairs.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count + 32 }
    }

    /// The first value of a key. Setting it replaces every value of the key.
    package subscript(key: String) -> String? {
        get { pairs.first { $0.key == key }?.value }
        set {
            pairs.removeAll { $0.key == key }
            if let newValue { pairs.append((key: key, value: newValue)) }
        }
    }

    package static func == (left: Metadata, right: Metadata) -> Bool {
        left.pairs.elementsEqual(right.pairs) { $0 == $1 }
    }
}
