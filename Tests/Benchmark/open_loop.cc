// Calls an echo function at times that do not depend on its answers, as independent callers do. The gaps between the
// calls are exponential. A call's latency counts from the moment when it was due, so that a server or a client that
// stalls is charged for every call that it holds up.
//
// Usage: open_loop HOST:PORT FUNCTION CALLS_PER_SECOND SECONDS BYTES CONNECTIONS SEED
// Prints one line of JSON: the number of calls and of failures, the calls that this client sent more than 1 ms late, and
// percentiles of the latency in microseconds.
#include <grpcpp/grpcpp.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gateway.grpc.pb.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Call {
    grpc::ClientContext context;
    pb::Message reply;
    grpc::Status status;
    Clock::time_point due;
    std::unique_ptr<grpc::ClientAsyncResponseReader<pb::Message>> reader;
};

struct Seen {
    std::vector<double> micros;
    long failures = 0;
};

// The body of the thread that receives: takes `count` answers.
void receive(grpc::CompletionQueue &queue, size_t count, size_t bytes, Seen &seen) {
    void *tag;
    bool ok;
    while (seen.micros.size() < count && queue.Next(&tag, &ok)) {
        std::unique_ptr<Call> call(static_cast<Call *>(tag));
        seen.micros.push_back(std::chrono::duration<double, std::micro>(Clock::now() - call->due).count());
        if (!call->status.ok() || call->reply.msg().size() != bytes) seen.failures++;
    }
}

double percentile(const std::vector<double> &sorted, double share) {
    return sorted[std::min(sorted.size() - 1, static_cast<size_t>(share * static_cast<double>(sorted.size())))];
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 8) {
        std::cerr << "usage: open_loop HOST:PORT FUNCTION CALLS_PER_SECOND SECONDS BYTES CONNECTIONS SEED\n";
        return 64;
    }
    const double rate = std::atof(argv[3]), seconds = std::atof(argv[4]);
    const size_t bytes = std::strtoul(argv[5], nullptr, 10);
    const int connections = std::atoi(argv[6]);
    // Without this a sleep may last 50 us longer than asked.
    prctl(PR_SET_TIMERSLACK, 1000UL);

    // When each call is due, in seconds from the start.
    std::vector<double> due;
    std::mt19937_64 random(std::strtoul(argv[7], nullptr, 10));
    std::exponential_distribution<double> gap(rate);
    for (double at = gap(random); at < seconds; at += gap(random)) due.push_back(at);
    if (due.empty()) return 64;

    std::vector<std::unique_ptr<pb::Gateway::Stub>> stubs;
    for (int number = 0; number < connections; number++) {
        grpc::ChannelArguments arguments;
        arguments.SetInt("grpc.use_local_subchannel_pool", 1);
        auto channel = grpc::CreateCustomChannel(argv[1], grpc::InsecureChannelCredentials(), arguments);
        if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10))) {
            std::cerr << "open_loop: nobody answers at " << argv[1] << "\n";
            return 1;
        }
        stubs.push_back(pb::Gateway::NewStub(channel));
    }
    pb::InvokeServiceRequest request;
    request.set_service(argv[2]);
    request.set_input(std::string(bytes, 'a'));

    grpc::CompletionQueue queue;
    Seen seen;
    seen.micros.reserve(due.size());
    std::thread receiver([&] { receive(queue, due.size(), bytes, seen); });
    const auto start = Clock::now() + std::chrono::milliseconds(50);
    long late = 0;
    for (size_t index = 0; index < due.size(); index++) {
        auto call = new Call;
        call->due = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(due[index]));
        std::this_thread::sleep_until(call->due);
        if (Clock::now() - call->due > std::chrono::milliseconds(1)) late++;
        call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
        call->reader = stubs[index % stubs.size()]->AsyncInvoke(&call->context, request, &queue);
        call->reader->Finish(&call->reply, &call->status, call);
    }
    receiver.join();
    queue.Shutdown();

    std::sort(seen.micros.begin(), seen.micros.end());
    std::cout << "{\"calls\": " << due.size() << ", \"failures\": " << seen.failures << ", \"late\": " << late
              << ", \"p50_us\": " << percentile(seen.micros, 0.5) << ", \"p99_us\": " << percentile(seen.micros, 0.99)
              << ", \"p999_us\": " << percentile(seen.micros, 0.999) << ", \"max_us\": " << seen.micros.back() << "}\n";
}
