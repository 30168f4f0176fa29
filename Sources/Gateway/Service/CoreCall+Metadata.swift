internal import GRPC

extension RequestMetadata {
    /// What a gRPC call's metadata says to the gateway and to the handler.
    init(_ call: CoreCall) {
        self.init()
        call.forEachMetadata { add($0, $1) }
        complete()
    }
}

extension CoreCall {
    /// Tells the caller, beside the reply or the status, how its request is called.
    func addTrailers(_ metadata: borrowing RequestMetadata) {
        var requestID = metadata.requestID
        requestID.withUTF8 { addTrailer(RequestMetadata.requestIDKey, UnsafeRawBufferPointer($0)) }
        metadata.withTraceParent { addTrailer(RequestMetadata.traceParentKey, $0) }
    }

    /// Gives the handler's metadata to the caller.
    func addTrailers(_ metadata: borrowing ReplyMetadata) {
        metadata.forEach { addTrailer($0, $1) }
    }
}
