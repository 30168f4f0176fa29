"""What grpc.health.v1 says, through grpcio-health-checking's own client."""
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def request(service=""):
    return health_pb2.HealthCheckRequest(service=service)


def stub(client):
    return health_pb2_grpc.HealthStub(client.channel)


def checker(client):
    """Says the status of a service, of the whole gateway where it is given none."""
    health = stub(client)
    return lambda service="": health.Check(request(service), timeout=10).status


def watch(client, service="", timeout=60):
    return stub(client).Watch(request(service), timeout=timeout)
