// What the gateway is compared with: a server on the same gRPC library that answers a call with its own input, in its
// own process, with no function behind it. Usage: bare_server HOST:PORT. Prints "ready" once it serves.
#include <grpcpp/grpcpp.h>

#include <iostream>
#include <memory>
#include <string>

#include "gateway.grpc.pb.h"

namespace {

using Service = pb::Gateway::WithCallbackMethod_Invoke<pb::Gateway::WithCallbackMethod_InvokeBytes<pb::Gateway::Service>>;

class BareService final : public Service {
    grpc::ServerUnaryReactor *Invoke(grpc::CallbackServerContext *context, const pb::InvokeServiceRequest *request,
                                     pb::Message *reply) override {
        reply->set_msg(request->input());
        return done(context);
    }

    grpc::ServerUnaryReactor *InvokeBytes(grpc::CallbackServerContext *context,
                                          const pb::InvokeServiceRequest *request, pb::Messages *reply) override {
        reply->set_output(request->input());
        return done(context);
    }

    static grpc::ServerUnaryReactor *done(grpc::CallbackServerContext *context) {
        grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }
};

}  // namespace

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: bare_server HOST:PORT\n";
        return 64;
    }
    BareService service;
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials());
    builder.RegisterService(&service);
    const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (!server) {
        std::cerr << "bare_server: cannot listen on " << argv[1] << "\n";
        return 1;
    }
    std::cout << "ready" << std::endl;
    server->Wait();
}
