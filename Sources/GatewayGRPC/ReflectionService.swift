internal import GRPC
internal import GatewayProtocol
internal import Platform
internal import SwiftProtobuf

/// Serves reflection, v1 and v1alpha (https://github.com/grpc/grpc/blob/master/doc/server-reflection.md). The two
/// differ only in the name of their package, so the same messages serve both.
final class ReflectionService: Sendable {
    /// Everything that reflection tells. It is read from the descriptors at the first request: most gateways never get
    /// one.
    private struct Index {
        let files: [String: Google_Protobuf_FileDescriptorProto]
        /// The file that defines each full name.
        let symbols: [String: String]
        let services: [String]
    }

    private let index = Lock<Index?>(nil)

    func serve(_ call: ServerCall) async throws(Status) {
        let index = try readIndex()
        while let request: Grpc_Reflection_V1_ServerReflectionRequest = try await call.nextRequest() {
            var reply = Self.answer(request, index)
            reply.validHost = request.host
            reply.originalRequest = request
            try await call.send(reply)
        }
    }

    private func readIndex() throws(Status) -> Index {
        do {
            if let known = index.withLock({ $0 }) { return known }
            let all = try DescriptorSet.files()
            var symbols: [String: String] = [:]
            for file in all {
                for name in Self.names(in: file) { symbols[name] = file.name }
            }
            let read = Index(
                files: Dictionary(all.map { ($0.name, $0) }) { first, _ in first }, symbols: symbols,
                services: all.flatMap { file in file.service.map { Self.join(file.package, $0.name) } }.sorted())
            index.withLock { $0 = read }
            return read
        } catch {
            throw Status(.internal, "the embedded descriptors cannot be read: \(error)")
        }
    }

    private static func answer(
        _ request: Grpc_Reflection_V1_ServerReflectionRequest, _ index: Index
    ) -> Grpc_Reflection_V1_ServerReflectionResponse {
        var reply = Grpc_Reflection_V1_ServerReflectionResponse()
        switch request.messageRequest {
        case .listServices:
            reply.listServicesResponse.service = index.services.map { name in
                var service = Grpc_Reflection_V1_ServiceResponse()
                service.name = name
                return service
            }
        case .fileByFilename(let name):
            reply.messageResponse = descriptors(name, "file \"\(name)\"", index)
        case .fileContainingSymbol(let symbol):
            reply.messageResponse = descriptors(index.symbols[symbol], "symbol \"\(symbol)\"", index)
        case .fileContainingExtension(let wanted):
            reply.messageResponse = .errorResponse(
                Self.error(.notFound, "there are no extensions of \"\(wanted.containingType)\""))
        case .allExtensionNumbersOfType(let type):
            guard index.symbols[type] != nil else {
                reply.messageResponse = .errorResponse(Self.error(.notFound, "there is no type \"\(type)\""))
                break
            }
            reply.allExtensionNumbersResponse.baseTypeName = type
        case nil:
            reply.messageResponse = .errorResponse(Self.error(.invalidArgument, "the request asks for nothing"))
        }
        return reply
    }

    /// A file and all files that it imports.
    private static func descriptors(
        _ name: String?, _ what: String, _ index: Index
    ) -> Grpc_Reflection_V1_ServerReflectionResponse.OneOf_MessageResponse {
        guard let name, index.files[name] != nil else {
            return .errorResponse(error(.notFound, "there is no \(what)"))
        }
        var response = Grpc_Reflection_V1_FileDescriptorResponse()
        var todo = [name]
        var seen: Set<String> = []
        while let next = todo.popLast() {
            guard seen.insert(next).inserted, let file = index.files[next] else { continue }
            do {
                response.fileDescriptorProto.append(try file.serializedData())
            } catch {
                return .errorResponse(Self.error(.internal, "\(error)"))
            }
            todo += file.dependency
        }
        return .fileDescriptorResponse(response)
    }

    private static func error(_ code: StatusCode, _ message: String) -> Grpc_Reflection_V1_ErrorResponse {
        var error = Grpc_Reflection_V1_ErrorResponse()
        error.errorCode = Int32(code.rawValue)
        error.errorMessage = message
        return error
    }

    /// The full names of everything that a file defines.
    private static func names(in file: Google_Protobuf_FileDescriptorProto) -> [String] {
        var names = file.enumType.map { join(file.package, $0.name) }
        for service in file.service {
            let name = join(file.package, service.name)
            names.append(name)
            names += service.method.map { join(name, $0.name) }
        }
        var messages = file.messageType.map { (join(file.package, $0.name), $0) }
        while let (name, message) = messages.popLast() {
            names.append(name)
            names += message.field.map { join(name, $0.name) }
            names += message.enumType.map { join(name, $0.name) }
            messages += message.nestedType.map { (join(name, $0.name), $0) }
        }
        return names
    }

    private static func join(_ scope: String, _ name: String) -> String {
        scope.isEmpty ? name : "\(scope).\(name)"
    }
}
