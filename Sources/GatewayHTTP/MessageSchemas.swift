internal import GatewayProtocol
internal import SwiftProtobuf

/// The schemas of JSON for the messages of `gateway.proto`, by protobuf's mapping with numbers of 64 bits as numbers.
enum MessageSchemas {
    /// The name of each message or enum of the package `pb`, and its schema.
    static func all() throws -> [String: JSONValue] {
        var schemas: [String: JSONValue] = [:]
        for file in try DescriptorSet.files() where file.package == "pb" {
            for each in file.enumType {
                schemas[each.name] = ["type": "string", "enum": .array(each.value.map { .string($0.name) })]
            }
            for message in file.messageType { schemas[message.name] = schema(of: message) }
        }
        return schemas
    }

    /// The reference to a schema.
    static func reference(_ name: String) -> JSONValue {
        ["$ref": .string("#/components/schemas/\(name)")]
    }

    private static func schema(of message: Google_Protobuf_DescriptorProto) -> JSONValue {
        let maps = Dictionary(
            message.nestedType.filter(\.options.mapEntry).map { ($0.name, $0) }, uniquingKeysWith: { $1 })
        var properties: [String: JSONValue] = [:]
        for field in message.field {
            let type = last(of: field.typeName)
            if let entry = maps[type], let value = entry.field.first(where: { $0.number == 2 }) {
                properties[field.name] = ["type": "object", "additionalProperties": schema(of: value)]
            } else if field.label == .repeated {
                properties[field.name] = ["type": "array", "items": schema(of: field)]
            } else {
                properties[field.name] = schema(of: field)
            }
        }
        return ["type": "object", "properties": .object(properties), "additionalProperties": false]
    }

    private static func schema(of field: Google_Protobuf_FieldDescriptorProto) -> JSONValue {
        switch field.type {
        case .message, .enum, .group: reference(last(of: field.typeName))
        case .bool: ["type": "boolean"]
        case .string: ["type": "string"]
        case .bytes: ["type": "string", "contentEncoding": "base64"]
        case .double, .float: ["type": "number"]
        case .uint32, .uint64, .fixed32, .fixed64: ["type": "integer", "minimum": 0]
        case .int32, .int64, .sint32, .sint64, .sfixed32, .sfixed64: ["type": "integer"]
        }
    }

    private static func last(of name: String) -> String {
        String(name[(name.lastIndex(of: ".").map(name.index(after:)) ?? name.startIndex)...])
    }
}
