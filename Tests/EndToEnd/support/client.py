"""A plain grpcio client whose code is made from Protos/ when the tests run."""
import importlib
import pathlib
import sys
import tempfile

import grpc
from grpc_tools import protoc

from support.waiting import unseen_step, wait_until

PROTOS = pathlib.Path(__file__).parents[3] / "Protos"


def _generate():
    folder = tempfile.TemporaryDirectory(prefix="dcf-protos-")
    status = protoc.main(
        ["protoc", f"-I{PROTOS}", f"--python_out={folder.name}", f"--grpc_python_out={folder.name}",
         str(PROTOS / "gateway.proto")])
    assert status == 0, "protoc failed on gateway.proto"
    sys.path.insert(0, folder.name)
    return folder, importlib.import_module("gateway_pb2"), importlib.import_module("gateway_pb2_grpc")


_folder, pb, pb_grpc = _generate()

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    # A test that a gateway left alone for a moment is connected again at once.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]


#: For a client that reads slowly: its library takes 64 KiB ahead of it, instead of as much as the network could carry.
READS_LITTLE = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 64 << 10)]


class Refused(Exception):
    """A status other than OK, with what a test looks at."""

    def __init__(self, error):
        self.code = error.code()
        self.name = error.code().name
        self.message = error.details() or ""
        self.trailers = {k: v for k, v in (error.trailing_metadata() or ())}
        self.executed = self.trailers.get("dcf-executed")
        super().__init__(f"{self.name} (executed: {self.executed}): {self.message}")


class Client:
    def __init__(self, address, *options):
        self.channel = grpc.insecure_channel(address, [*OPTIONS, *options])
        self.stub = pb_grpc.GatewayStub(self.channel)

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, method, request, timeout=60, **options):
        """One unary call; raises Refused."""
        try:
            return getattr(self.stub, method)(request, timeout=timeout, **options)
        except grpc.RpcError as error:
            raise Refused(error) from None

    def invoke(self, name, data=b"", timeout=60, **options):
        return self.call("Invoke", pb.InvokeServiceRequest(Service=name, Input=data), timeout, **options).Msg

    def invoke_bytes(self, name, data=b"", timeout=60, **options):
        return self.call("InvokeBytes", pb.InvokeServiceRequest(Service=name, Input=data), timeout, **options).Output

    def begin(self, name, data=b"", timeout=60, **options):
        """An InvokeBytes that is under way: a grpc future."""
        return self.stub.InvokeBytes.future(pb.InvokeServiceRequest(Service=name, Input=data), timeout=timeout,
                                            **options)

    def each_replica(self, name, count, data=b""):
        """The set of what `count` replicas answer, when each answers something of its own.

        Calls at the same time: calls one after another all go to the replica that had the last one."""
        found = set()

        def all_answered():
            found.update(call.result().Output.decode() for call in [self.begin(name, data) for _ in range(8 * count)])
            return len(found) >= count

        wait_until(all_answered, 20, f"an answer of each of {count} replicas", every=0)
        return found

    def queue_up(self, name, data, timeout=60):
        """Begins calls of a busy function one after another, each when the one before it waits there. Returns them.

        The gateway's threads may take calls that come together in any order."""
        begun = []
        for one in data:
            begun.append(self.begin(name, one, timeout))
            self.catch_up()
        assert not any(call.done() for call in begun), f"{name} is not busy"
        return begun

    def catch_up(self):
        """Returns when the gateway has taken what this client sent.

        On one connection the gateway reads calls in order, so a call that was answered came after those that were sent
        before it. The thread that has one of them needs a moment at most."""
        error = refused(self.invoke_bytes, "no-such-function")
        assert error.name == "NOT_FOUND", error
        unseen_step()

    def occupy(self, name, data, probe):
        """Begins a long call of a function with one replica; returns when others have to wait behind it."""
        call = self.begin(name, data)
        for _ in range(50):
            try:
                self.invoke_bytes(name, probe, timeout=0.3)
            except Refused as error:
                assert error.name == "DEADLINE_EXCEEDED", error
                return call
        raise AssertionError(f"{name} answers others while it works on {data!r}")

    def meta(self, name):
        return self.call("GetMeta", pb.FunctionRequest(FunctionName=name))

    def names(self):
        return [f.Name for f in self.call("List", pb.Empty()).Functions]

    def log(self, name):
        return self.call("GetLog", pb.FunctionRequest(FunctionName=name)).Msg

    def upload(self, bundle, piece=1 << 20, digest=None, size=None):
        """Sends a bundle in pieces; returns its SHA-256 and the reply."""
        import hashlib

        digest = digest or hashlib.sha256(bundle).hexdigest()

        def pieces():
            yield pb.UploadPiece(Sha256=digest, Size=len(bundle) if size is None else size, Data=bundle[:piece])
            for at in range(piece, len(bundle), piece):
                yield pb.UploadPiece(Data=bundle[at:at + piece])

        try:
            return digest, self.stub.Upload(pieces(), timeout=120)
        except grpc.RpcError as error:
            raise Refused(error) from None

    def deploy_watch(self, name, bundle=None, config="runtime: python3\n", if_exists=0, timeout=120):
        """Uploads and deploys; returns the events; raises Refused with `events` set to those before the error."""
        digest = self.upload(bundle)[0] if isinstance(bundle, bytes) else (bundle or "")
        request = pb.CreateFunctionRequest(Service=name, Bundle=digest, Config=config, IfExists=if_exists)
        events = []
        try:
            for event in self.stub.DeployWatch(request, timeout=timeout):
                events.append(event)
        except grpc.RpcError as error:
            refused = Refused(error)
            refused.events = events
            raise refused from None
        return events


def outcome(call, seconds=30):
    """How a call of `begin` ended: its bytes, or Refused."""
    try:
        return call.result(seconds).Output
    except grpc.FutureTimeoutError:
        raise AssertionError(f"a call has no status after {seconds} s") from None
    except grpc.FutureCancelledError:
        raise AssertionError("the test itself cancelled this call") from None
    except grpc.RpcError as error:
        return Refused(error)


def is_waiting(call, seconds=0.3):
    """Whether a call of `begin` is without a status for so long."""
    try:
        call.result(seconds)
    except grpc.FutureTimeoutError:
        return True
    except grpc.RpcError:
        pass
    return False


def metadata_of(call):
    """All metadata that a call of `begin` or `Invokes` was answered with, leading and trailing."""
    return {k: v for k, v in (*(call.initial_metadata() or ()), *(call.trailing_metadata() or ()))}


def refused(call, *arguments, **options):
    """Runs `call`, which must end with a status other than OK, and returns it."""
    try:
        got = call(*arguments, **options)
    except Refused as error:
        return error
    raise AssertionError(f"was answered with {got!r:.200}, and should have been refused")
