"""grpc.health.v1 as grpcio-health-checking's own client sees it."""
import grpc
import pytest

from support.health import NOT_SERVING, SERVICE_UNKNOWN, SERVING, request, stub


@pytest.fixture(scope="module")
def health(gateway):
    gateway.deploy("echo")
    return stub(gateway.client)


def test_check(health):
    assert health.Check(request(), timeout=5).status == SERVING
    assert health.Check(request("echo"), timeout=5).status == SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(request("nobody"), timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_watch_of_an_unknown_name_stays_open_and_tells_when_it_comes(gateway, health):
    watch = health.Watch(request("later"), timeout=60)
    assert next(watch).status == SERVICE_UNKNOWN
    gateway.deploy("later", "echo")
    while next(watch).status != SERVING:
        pass
    gateway.delete("later")
    while next(watch).status != SERVICE_UNKNOWN:
        pass
    watch.cancel()


def test_watch_tells_of_a_change(gateway, health):
    watch = health.Watch(request("echo"), timeout=60)
    assert next(watch).status == SERVING
    import os
    import signal

    # A death of the only replica.
    os.kill(gateway.replicas("echo")[0], signal.SIGKILL)
    assert next(watch).status == NOT_SERVING
    assert next(watch).status == SERVING
    watch.cancel()


def test_watch_of_the_gateway(health):
    watch = health.Watch(request(), timeout=5)
    assert next(watch).status == SERVING
    watch.cancel()
