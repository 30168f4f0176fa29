// What the gateway is compared with: a server on the same gRPC library that answers a call with its own input, in its
// own process, with no function behind it; on a stream it answers the request N with N pieces of 1 KiB. Usage: bare_server
// HOST:PORT. Prints "ready" once it serves.
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "gateway.grpc.pb.h"

namespace {

using Service = pb::Gateway::WithCallbackMethod_Invoke<
    pb::Gateway::WithCallbackMethod_InvokeBytes<pb::Gateway::WithCallbackMethod_Invokes<pb::Gateway::Service>>>;

// One stream: reads a request, writes its pieces one after another, reads the next. Lives until its OnDone.
class PieceStream final : public grpc::ServerBidiReactor<pb::InvokeServiceRequest, pb::Messages> {
  public:
    PieceStream() {
        piece_.set_output(std::string(1024, '.'));
        StartRead(&request_);
    }

    void OnReadDone(bool ok) override {
        if (!ok) return Finish(grpc::Status::OK);
        left_ = std::strtoull(request_.input().c_str(), nullptr, 10);
        write();
    }

    void OnWriteDone(bool ok) override {
        if (!ok) return Finish(grpc::Status::CANCELLED);
        write();
    }

    void OnDone() override { delete this; }

  private:
    void write() {
        if (left_ == 0) return StartRead(&request_);
        piece_.set_last(--left_ == 0);
        StartWrite(&piece_);
    }

    pb::InvokeServiceRequest request_;
    pb::Messages piece_;
    unsigned long long left_ = 0;
};

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

    grpc::ServerBidiReactor<pb::InvokeServiceRequest, pb::Messages> *Invokes(grpc::CallbackServerContext *) override {
        return new PieceStream;
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
