"""An Invokes stream whose requests are sent one by one, and whose replies are read one by one."""
import itertools
import queue

import grpc

from .client import Refused, pb


class Stream:
    def __init__(self, client, timeout=30, metadata=None):
        self._requests = queue.Queue()
        self.call = client.stub.Invokes(iter(self._requests.get, None), timeout=timeout, metadata=metadata)
        self.messages = []

    def send(self, name, data=b""):
        self._requests.put(pb.InvokeServiceRequest(Service=name, Input=data))
        return self

    def done_sending(self):
        self._requests.put(None)
        return self

    def read(self):
        """The next message; raises Refused at a status, StopIteration at the end."""
        try:
            message = next(self.call)
        except grpc.RpcError as error:
            raise Refused(error) from None
        self.messages.append(message)
        return message

    def piece(self):
        """The Output of the next message."""
        return self.read().Output

    def rest(self):
        """Reads to the end: (messages, None) or (messages, Refused)."""
        read = []
        try:
            while True:
                read.append(self.read())
        except StopIteration:
            return read, None
        except Refused as error:
            return read, error

    def cancel(self):
        self._requests.put(None)
        self.call.cancel()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cancel()


def outputs(messages):
    """The pieces of each request. What ends a request may have no bytes of its own."""
    found = {}
    for message in messages:
        pieces = found.setdefault(message.Request, [])
        if message.Output or not message.Last:
            pieces.append(message.Output)
    return [found[request] for request in sorted(found)]


def well_formed(messages, requests):
    """Requests in order from 0, each with exactly one message that is its last, and that one at its end."""
    seen = [(m.Request, m.Last) for m in messages]
    assert [r for r, last in seen if last] == list(range(requests)), (
        f"which messages are the last of their request: {seen}")
    for (request, last), (following, _) in itertools.pairwise(seen):
        assert following == request + (1 if last else 0), f"requests out of order: {seen}"
