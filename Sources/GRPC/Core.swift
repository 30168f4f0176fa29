internal import CGRPC

/// The C core's global state: brought up once, by whoever first makes a server or a channel, and kept until the process
/// ends (bringing it down while another thread still uses it is not safe).
enum Core {
    static let started: Void = grpc_init()
}
