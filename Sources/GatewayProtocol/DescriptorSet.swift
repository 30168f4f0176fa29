package import SwiftProtobuf

/// The descriptors of everything that a gateway serves: all files of `Protos`, each after the files that it imports.
package enum DescriptorSet {
    /// The serialized `google.protobuf.FileDescriptorSet` as protoc wrote it.
    package static var serialized: [UInt8] { PackageResources.descriptors_binpb }

    /// The parsed files. Throws when the embedded bytes are not a descriptor set, which a test rules out.
    package static func files() throws -> [Google_Protobuf_FileDescriptorProto] {
        try Google_Protobuf_FileDescriptorSet(serializedBytes: serialized).file
    }
}
