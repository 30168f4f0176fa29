"""Server reflection, v1alpha through grpcio-reflection's own client and v1 by hand."""
import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICES = {"pb.Gateway", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"}


def test_the_stock_client_finds_every_service_and_can_call(gateway):
    with grpc.insecure_channel(gateway.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) == SERVICES
        pool = DescriptorPool(database)
        service = pool.FindServiceByName("pb.Gateway")
        assert "InvokeBytes" in service.methods_by_name
        request = pool.FindMessageTypeByName("pb.InvokeServiceRequest")
        assert {f.name: f.number for f in request.fields} == {"Service": 1, "Input": 2}


def ask_v1(channel, *requests):
    """v1 has the messages of v1alpha under another package."""
    method = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
    return list(method(iter(requests), timeout=10))


def ask_alpha(channel, *requests):
    return list(reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(requests), timeout=10))


@pytest.mark.parametrize("ask", [ask_v1, ask_alpha])
def test_each_kind_of_question(gateway, ask):
    request = reflection_pb2.ServerReflectionRequest
    with grpc.insecure_channel(gateway.address) as channel:
        services, by_symbol, by_method, by_name, nothing, extension = ask(
            channel,
            request(list_services=""),
            request(file_containing_symbol="pb.Gateway"),
            request(file_containing_symbol="pb.Gateway.Invoke"),
            request(file_by_filename="gateway.proto"),
            request(file_containing_symbol="pb.Nothing"),
            request(all_extension_numbers_of_type="pb.Message"))
    assert {s.name for s in services.list_services_response.service} == SERVICES
    for answer in (by_symbol, by_method, by_name):
        files = [descriptor_pb2.FileDescriptorProto.FromString(f)
                 for f in answer.file_descriptor_response.file_descriptor_proto]
        assert any(f.name == "gateway.proto" and f.package == "pb" for f in files)
    assert nothing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert extension.WhichOneof("message_response") in ("all_extension_numbers_response", "error_response")
