"""Sends pictures and animations through one Invokes stream, and writes each frame to a file as it arrives.

    python3 client.py HOST:PORT FOLDER FILE...

Needs grpcio and grpcio-tools. It makes the messages from the gateway's own proto."""
import pathlib
import sys
import time

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Protos"))
messages, services = grpc.protos_and_services("gateway.proto")


def requests(files):
    for file in files:
        yield messages.InvokeServiceRequest(Service="stream", Input=pathlib.Path(file).read_bytes())


def main(address, folder, *files):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    began, number = time.monotonic(), 0
    with grpc.insecure_channel(address) as channel:
        # A slow reader slows the function down, so nothing piles up between the two.
        for reply in services.GatewayStub(channel).Invokes(requests(files)):
            if reply.Output:
                number += 1
                path = folder / f"{reply.Request}-{number:03}.jpg"
                path.write_bytes(reply.Output)
                print(f"{time.monotonic() - began:6.3f} s  {files[reply.Request]}  frame {number}  {path}", flush=True)
            if reply.Last:
                number = 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
