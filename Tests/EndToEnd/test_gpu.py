"""`limits.gpu`: devices of the host, leased to replicas. The host's devices are a stand-in's."""
import json
import threading
import time

import pytest

from support.client import Refused, refused
from support.nvml import StandIn, uuid
from support.processes import exists, kill
from support.waiting import pause, wait_until

HANDLER = """
import json, os, time
class Handler:
    def __call__(self, req):
        if req.input[:4] == b"exit": os._exit(3)
        if req.input[:5] == b"sleep": time.sleep(float(req.input[5:]))
        return json.dumps({"visible": os.environ.get("CUDA_VISIBLE_DEVICES"), "pid": os.getpid(),
                           "parent": os.getppid(), "gpu": req.info["limits"]["gpu"]})
"""
ALL = [uuid(number) for number in range(8)]


@pytest.fixture(scope="module")
def nvml(scratch):
    return StandIn(scratch / "nvml")


@pytest.fixture
def host(nvml, own_gateway):
    """host(devices, ...): a gateway on a host with so many GPUs."""
    def make(devices, environment=None, **options):
        nvml.devices(devices)
        return own_gateway(environment={**nvml.environment, **(environment or {})}, **options)

    return make


def deploy(gateway, name, *flags, gpu=1, shared=None, check=True, handler=HANDLER, **config):
    limits = {"gpu": gpu} if shared is None else {"gpu": gpu, "gpu_shared": shared}
    return gateway.deploy(name, None, *flags, files={"handler.py": handler}, check=check,
                          config={"limits": limits, **config})


def look(gateway, name, input=b"", **options):
    return json.loads(gateway.client.invoke(name, input, **options))


def held(gateway, name):
    """The devices of each of its replicas."""
    return [[gpu.UUID for gpu in replica.GPUs] for replica in gateway.client.meta(name).Instances]


def patient(gateway, name):
    """Its answer, also where its start takes longer than a call may."""
    def answer():
        try:
            return look(gateway, name, timeout=20)
        except Refused as error:
            assert error.name == "DEADLINE_EXCEEDED", error
    return wait_until(answer, 30, "an answer")


def free(gateway):
    return gateway.dcf("version").text.count(": free (")


def test_a_replica_gets_a_device_of_its_own(host):
    gateway = host(3)
    deploy(gateway, "one", replicas=2)
    deploy(gateway, "two")
    assert held(gateway, "one") == [[ALL[0]], [ALL[1]]]
    assert held(gateway, "two") == [[ALL[2]]]
    seen = look(gateway, "two")
    assert (seen["visible"], seen["gpu"]) == (ALL[2], 1)
    assert {look(gateway, "one")["visible"] for _ in range(40)} <= set(ALL[:2])
    # Given back with the function.
    gateway.delete("one")
    deploy(gateway, "three", gpu=2)
    assert held(gateway, "three") == [ALL[:2]]
    assert look(gateway, "three")["visible"] == ",".join(ALL[:2])


def test_who_holds_which_is_shown(host):
    gateway = host(3)
    gateway.deploy("plain", "echo")
    assert "GPU" not in gateway.dcf("function", "list").text
    deploy(gateway, "one", replicas=2)
    lines = gateway.dcf("function", "list").text.splitlines()
    assert lines[0].split() == ["Function", "Image", "Maintainer", "Invocations", "Replicas", "GPU", "Status",
                                "Description"]
    assert "0,1" in next(line for line in lines if line.startswith("one")).split()
    sheet = gateway.dcf("function", "info", "one").text
    assert f"0: Stand-in 0, 80 GiB, {ALL[0]}" in sheet and f"1: Stand-in 1, 80 GiB, {ALL[1]}" in sheet
    assert "one@1 replica 1 (Stand-in 0" in gateway.dcf("version").text and free(gateway) == 1
    assert list(gateway.client.meta("plain").GPUs) == []


def test_a_host_without_a_gpu_says_so_and_registers_nothing(nvml, own_gateway, tmp_path):
    gateway = own_gateway(environment={"DCF_NVML": str(tmp_path / "none.so")})
    done = deploy(gateway, "early", check=False)
    assert done.returncode == 1
    assert "function \"early\": limits.gpu: this host has no GPU that can be used" in done.error
    assert "none.so" in done.error and "nvidia-smi" in done.error
    assert gateway.client.names() == [] and not list((gateway.data / "functions").iterdir())
    nvml.has("!9")
    other = own_gateway(environment=nvml.environment)
    assert "nvmlInit: Driver Not Loaded" in deploy(other, "early", check=False).error
    # Functions that need none do not mind, and a driver that comes later is found.
    other.deploy("plain", "echo")
    nvml.devices(1)
    deploy(other, "late")
    assert look(other, "late")["visible"] == ALL[0]


def test_none_left_names_who_holds_them(host):
    gateway = host(2)
    deploy(gateway, "one", replicas=2)
    done = deploy(gateway, "two", check=False)
    assert done.returncode == 1
    assert ("function \"two\": limits.gpu: 1 needs 1 GPU, the gateway may use 2 for that, and none of them is free; "
            "held: 0 by one@1 replica 1, 1 by one@1 replica 2") in done.error
    assert gateway.client.names() == ["one"]
    many = deploy(gateway, "three", gpu=3, check=False)
    assert "limits.gpu: 3 needs 3 GPUs, and the gateway may use 2 for that" in many.error
    each = deploy(gateway, "four", replicas=3, check=False)
    assert "limits.gpu: 1 for each of 3 replicas needs 3 GPUs" in each.error


def test_a_failed_deploy_gives_back(host):
    gateway = host(2)
    broken = ("class Handler:\n    def __init__(self): raise ValueError('bad weights')\n"
              "    def __call__(self, req): pass\n")
    for _ in range(3):
        assert "bad weights" in deploy(gateway, "broken", gpu=2, handler=broken, check=False).error
    assert free(gateway) == 2


def test_an_update_needs_devices_beside_the_old_version(host):
    gateway = host(2)
    deploy(gateway, "one")
    first = look(gateway, "one")
    # There is one more: the new version gets it.
    deploy(gateway, "one", "--update")
    assert look(gateway, "one")["visible"] == ALL[1] != first["visible"]
    # Also while the old one has not gone yet.
    for _ in range(3):
        deploy(gateway, "one", "--update")
    deploy(gateway, "other")
    done = deploy(gateway, "one", "--update", check=False)
    assert done.returncode == 1 and "none of them is free" in done.error and "strategy: replace" in done.error
    before = look(gateway, "one")
    # What replaces does not need both.
    deploy(gateway, "one", "--update", strategy="replace")
    assert look(gateway, "one")["visible"] == before["visible"]
    deploy(gateway, "one", "--replace")
    assert look(gateway, "one")["visible"] == before["visible"]


def test_a_replace_that_fails_brings_the_old_version_back_with_its_device(host):
    gateway = host(1)
    deploy(gateway, "one", strategy="replace")
    broken = ("class Handler:\n    def __init__(self): raise ValueError('bad weights')\n"
              "    def __call__(self, req): pass\n")
    assert "bad weights" in deploy(gateway, "one", "--update", strategy="replace", handler=broken, check=False).error
    gateway.wait_ready("one")
    assert look(gateway, "one")["visible"] == ALL[0]


def test_restart(host):
    gateway = host(1)
    deploy(gateway, "one")
    done = gateway.dcf("function", "restart", "one", check=False)
    assert done.returncode == 1 and "held: 0 by one@1 replica 1" in done.error
    deploy(gateway, "one", "--replace", strategy="replace")
    before = look(gateway, "one")
    gateway.dcf("function", "restart", "one")
    after = look(gateway, "one")
    assert after["visible"] == ALL[0] and after["pid"] != before["pid"]


def test_a_replica_that_dies_keeps_its_device(host):
    gateway = host(2)
    deploy(gateway, "one")
    deploy(gateway, "two")
    for _ in range(3):
        before = look(gateway, "one")
        refused(gateway.client.invoke, "one", b"exit")
        after = look(gateway, "one", timeout=20)
        assert after["visible"] == before["visible"] and after["pid"] != before["pid"]
    kill(after["pid"])
    wait_until(lambda: not exists(after["pid"]), 5, "the replica gone")

    def answers():
        try:
            return look(gateway, "one", timeout=20)["visible"]
        except Refused as error:
            # Sent in the moment before the gateway knew.
            assert error.name == "UNAVAILABLE", error
            return None

    assert wait_until(answers, 20, "an answer") == ALL[0]


def test_a_function_that_cannot_start_holds_nothing_while_it_waits(host, tmp_path):
    gateway = host(1)
    flag = tmp_path / "broken"
    deploy(gateway, "one", handler=HANDLER.replace(
        "    def __call__",
        f"    def __init__(self):\n        if os.path.exists({str(flag)!r}): raise ValueError('no')\n"
        "    def __call__"))
    flag.touch()
    refused(gateway.client.invoke, "one", b"exit")
    wait_until(lambda: free(gateway) == 1, 60, "the device free")
    # Now and then it is tried, with the device, and starts then.
    wait_until(lambda: (shown := gateway.client.meta("one")).Status == "Degraded" and "ValueError: no" in shown.Reason,
               20, "why")
    # Another may have it.
    wait_until(lambda: deploy(gateway, "two", check=False).returncode == 0, 60, "another has it")
    assert held(gateway, "two") == [[ALL[0]]]
    flag.unlink()
    gateway.delete("two")
    gateway.wait_ready("one", 60)
    assert look(gateway, "one")["visible"] == ALL[0]


def test_a_stuck_replica_is_replaced_when_its_device_is_free(host):
    gateway = host(1)
    deploy(gateway, "one", timeout={"call": "3s"})
    before = look(gateway, "one")
    error = refused(gateway.client.invoke, "one", b"sleep30")
    assert error.name == "DEADLINE_EXCEEDED"
    after = patient(gateway, "one")
    assert after["visible"] == before["visible"] and after["pid"] != before["pid"]
    assert not exists(before["pid"])


def test_scale(host):
    gateway = host(3)
    deploy(gateway, "one")
    deploy(gateway, "other")
    gateway.dcf("function", "scale", "one", "2")
    wait_until(lambda: gateway.client.meta("one").AvailableReplicas == 2, 20, "two replicas")
    assert [ALL[2]] in held(gateway, "one")
    done = gateway.dcf("function", "scale", "one", "3", check=False)
    assert done.returncode == 1 and "limits.gpu: 1 needs 1 GPU" in done.error and "other@1 replica 1" in done.error
    assert gateway.client.meta("one").Replicas == 2
    gateway.dcf("function", "scale", "one", "1")
    wait_until(lambda: free(gateway) == 1, 10, "one given back")
    gateway.dcf("function", "scale", "one", "2")
    wait_until(lambda: gateway.client.meta("one").AvailableReplicas == 2, 20, "two replicas")


def test_load_brings_as_many_replicas_as_there_are_devices(host):
    gateway = host(2)
    deploy(gateway, "one", replicas={"min": 1, "max": 8})
    callers = [
        threading.Thread(target=look, args=(gateway, "one", b"sleep0.5"), kwargs={"timeout": 30}) for _ in range(16)]
    for caller in callers:
        caller.start()
    wait_until(lambda: gateway.client.meta("one").AvailableReplicas == 2, 20, "two replicas")
    for caller in callers:
        caller.join()
    shown = gateway.client.meta("one")
    assert len(shown.Instances) == 2 and shown.Status == "Ready"


def test_functions_take_turns_when_they_are_idle(host):
    gateway = host(1)
    idle = {"replicas": {"min": 0, "max": 1}, "timeout": {"idle": "500ms"}}
    deploy(gateway, "one", **idle)
    wait_until(lambda: gateway.client.meta("one").Status == "Idle", 10, "idle")
    deploy(gateway, "two", **idle)
    for _ in range(2):
        assert look(gateway, "one", timeout=30)["visible"] == ALL[0]
        assert look(gateway, "two", timeout=30)["visible"] == ALL[0]


def test_a_replica_that_waits_says_for_whom(host):
    gateway = host(1)
    deploy(gateway, "one", replicas={"min": 0, "max": 1}, timeout={"idle": "2s", "call": "2s"})
    wait_until(lambda: gateway.client.meta("one").Status == "Idle", 10, "idle")
    deploy(gateway, "two")
    error = refused(gateway.client.invoke, "one", timeout=20)
    assert error.name == "DEADLINE_EXCEEDED" and error.executed == "no"
    assert "its replica waits for a GPU" in error.message and "two@1 replica 1" in error.message
    shown = gateway.client.meta("one")
    assert "two@1 replica 1" in shown.Reason and shown.Instances[0].State == "Waiting"
    assert "waits for a GPU" in gateway.client.log("one")
    gateway.delete("two")
    assert patient(gateway, "one")["visible"] == ALL[0]
    # Also while it waits it can be deleted.
    wait_until(lambda: gateway.client.meta("one").Status == "Idle", 10, "idle")
    deploy(gateway, "two")
    refused(gateway.client.invoke, "one", timeout=20)
    gateway.delete("one", "two")
    assert free(gateway) == 1


def test_sharing_is_asked_for_in_words(host):
    gateway = host(1)
    deploy(gateway, "one", shared=True, replicas=3)
    deploy(gateway, "two", shared=True)
    assert held(gateway, "one") == [[ALL[0]]] * 3 and held(gateway, "two") == [[ALL[0]]]
    done = deploy(gateway, "alone", check=False)
    assert "0 by one@1 replica 1 and one@1 replica 2 and one@1 replica 3 and 1 more" in done.error
    gateway.delete("one", "two")
    deploy(gateway, "alone")
    done = deploy(gateway, "one", shared=True, check=False)
    assert "0 by alone@1 replica 1" in done.error


def test_parts_of_a_device(nvml, own_gateway):
    nvml.has("GPU-a,Whole,81920", "+MIG-1,Part,10240", "+MIG-2,Part,10240", "GPU-b,Whole,81920")
    gateway = own_gateway(environment=nvml.environment)
    deploy(gateway, "one", replicas=3)
    assert held(gateway, "one") == [["MIG-1"], ["MIG-2"], ["GPU-b"]]
    gateway.delete("one")
    assert "limits.gpu: 2 needs 2 GPUs, and the gateway may use 1" in deploy(gateway, "two", gpu=2, check=False).error


def test_the_gateways_own_environment_says_which(host):
    gateway = host(4, environment={"CUDA_VISIBLE_DEVICES": f"2,{ALL[0]}"})
    deploy(gateway, "one", replicas=2)
    assert held(gateway, "one") == [[ALL[2]], [ALL[0]]]
    assert "the gateway may use 2" in deploy(gateway, "two", check=False).error
    # Without limits.gpu it is as it was.
    gateway.deploy("plain", None, files={"handler.py": HANDLER})
    assert look(gateway, "plain")["visible"] == f"2,{ALL[0]}"


def test_nothing_is_left_by_the_environment(host):
    gateway = host(2, environment={"CUDA_VISIBLE_DEVICES": ""})
    error = deploy(gateway, "one", check=False).error
    assert "CUDA_VISIBLE_DEVICES= in the gateway's environment leaves none of the 2" in error


def test_a_template_knows_no_device_and_its_replicas_do(host, tmp_path):
    gateway = host(2)
    (tmp_path / "slow.py").write_text("import os\nvisible = os.environ.get('CUDA_VISIBLE_DEVICES')\n")
    handler = HANDLER.replace('"pid":', '"imported": __import__("slow").visible, "pid":')
    deploy(gateway, "one", replicas=2, preload=["slow"], environment=[f"PYTHONPATH={tmp_path}"], handler=handler)
    assert held(gateway, "one") == [[ALL[0]], [ALL[1]]]
    seen = {look(gateway, "one", b"sleep0.01")["visible"]: look(gateway, "one") for _ in range(20)}
    assert set(seen) <= set(ALL[:2])
    one = look(gateway, "one")
    assert one["imported"] is None and one["parent"] != gateway.pid
    before = held(gateway, "one")
    kill(one["pid"])
    wait_until(lambda: gateway.client.meta("one").AvailableReplicas == 2 and held(gateway, "one") == before, 20,
               "as before")


def test_nvidia_smi_where_nvml_is_not_found(own_gateway, tmp_path):
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n[ \"$*\" = '--query-gpu=uuid,name,memory.total --format=csv,noheader' ] || exit 4\n"
                       f"echo '{ALL[0]}, NVIDIA H200, 143771 MiB'\n")
    program.chmod(0o755)
    path = {"DCF_NVML": str(tmp_path / "none.so"), "PATH": f"{program.parent}:{__import__('os').environ['PATH']}"}
    gateway = own_gateway(environment=path)
    deploy(gateway, "one", timeout={"call": "2s"})
    assert look(gateway, "one")["visible"] == ALL[0]
    assert "NVIDIA H200, 140.4 GiB" in gateway.dcf("function", "info", "one").text
    gateway.stop()
    program.write_text(
        "#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not communicate with the driver'\nexit 9\n")
    gateway.start()
    # While it is tried again, now and then, it starts and has no reason.
    reason = wait_until(lambda: (shown := gateway.client.meta("one")).Status == "Degraded" and shown.Reason, 20,
                        "the reason")
    assert "nvidia-smi ended with exit status 9: NVIDIA-SMI has failed" in reason
    wait_until(lambda: "this host has no GPU" in refused(gateway.client.invoke, "one").message, 20, "callers are told")


def test_the_gateways_restart_gives_everybody_devices_again(host):
    gateway = host(3)
    deploy(gateway, "one", replicas=2)
    deploy(gateway, "two")
    gateway.kill()
    gateway.start()
    for name in ("one", "two"):
        gateway.wait_ready(name)
    assert sorted(sum(held(gateway, "one") + held(gateway, "two"), [])) == ALL[:3]


@pytest.mark.parametrize("config, words", [
    ({"limits": {"gpu": "all"}}, "limits.gpu must be a number of devices from 0 to 64"),
    ({"limits": {"gpu_shared": True}}, "gpu_shared shares the devices of gpu"),
    ({"limits": {"gpu": 1}, "environment": ["CUDA_VISIBLE_DEVICES=0"]}, "CUDA_VISIBLE_DEVICES is set by limits.gpu"),
])
def test_what_is_wrong_in_the_config(gateway, config, words):
    done = gateway.deploy("wrong", "echo", config=config, check=False)
    assert done.returncode != 0 and words in done.error


def test_devices_survive_many_deaths_and_updates(host):
    """Whatever happens at the same time, no device has two holders, and all are free at the end."""
    gateway = host(4)
    deploy(gateway, "one", replicas=2)
    end = time.monotonic() + 6
    seen = []

    def disturb():
        while time.monotonic() < end:
            for pid in gateway.replicas("one")[:1]:
                if pid:
                    kill(pid)
            pause(0.15)

    thread = threading.Thread(target=disturb)
    thread.start()
    while time.monotonic() < end:
        deploy(gateway, "one", "--update", check=False, replicas=2)
        devices = [device for replica in held(gateway, "one") for device in replica]
        seen.append(devices)
        assert len(set(devices)) == len(devices), devices
    thread.join()
    gateway.delete("one")
    assert seen
    # A version that was replaced a moment ago may still be on its way out.
    wait_until(lambda: free(gateway) == 4, 10, "all free")
