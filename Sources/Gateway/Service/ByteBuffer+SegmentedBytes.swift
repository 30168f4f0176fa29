internal import GRPC
internal import GatewayProtocol

extension ByteBuffer: SegmentedBytes {}
