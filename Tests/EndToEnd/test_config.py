"""The keys of the execution model: what is out of range is an error that names the key, and nothing is left behind."""
import pytest

from support.bundles import bundle
from support.client import refused

ECHO = bundle({"handler.py": "class Handler:\n    def __call__(self, req):\n        return req.input\n"})


@pytest.mark.parametrize(
    "config, said",
    [
        ("concurrency: 0", "concurrency"),
        ("concurrency: -1", "concurrency"),
        ("concurrency: 1025", "concurrency"),
        ("concurrency: 1.5", "concurrency"),
        ("concurrency: many", "concurrency"),
        ("concurrency: [2]", "concurrency"),
        ("batch: 8", "batch"),
        ("batch: {max_size: 0}", "batch.max_size"),
        ("batch: {max_size: 1025}", "batch.max_size"),
        ("batch: {max_size: -4}", "batch.max_size"),
        ("batch: {max_size: x}", "batch.max_size"),
        ("batch: {max_wait: -1ms}", "batch.max_wait"),
        ("batch: {max_wait: 61s}", "batch.max_wait"),
        ("batch: {max_wait: soon}", "batch.max_wait"),
        ("batch: {max_wait: 5}", "batch.max_wait"),
        ("batch: {retry: perhaps}", "batch.retry"),
        ("batch: {size: 4}", '"size" under functions.ranged.batch'),
        ("batch: {max_size: 4}\nconcurrency: 2", "concurrency"),
        ("replicas: -1", "replicas"),
        ("replicas: 0", "replicas"),
        ("replicas: 1025", "replicas"),
        ("replicas: {min: 3, max: 2}", "replicas"),
        ("replicas: {min: 0, max: 0}", "replicas.max"),
        ("replicas: {min: x}", "replicas.min"),
        ("replicas: {most: 3}", '"most" under functions.ranged.replicas'),
        ("timeout: {idle: 0s}", "timeout.idle"),
        ("timeout: {idle: 25h}", "timeout.idle"),
        ("timeout: {idle: never}", "timeout.idle"),
        ("cancel: maybe", "cancel"),
        ("cancel: true", "cancel"),
        ("cancel: [raise]", "cancel"),
        ("warmup: yes please", "warmup"),
        ("warmup: {input: a, file: b}", "warmup"),
        ("warmup: {file: ../secret}", "warmup.file"),
        ("warmup: {file: /etc/passwd}", "warmup.file"),
        ("warmup: {data: a}", '"data" under functions.ranged.warmup'),
        ("strategy: blue-green", "strategy"),
        ("strategy: [replace]", "strategy"),
        ("queue: 0", "queue"),
        ("queue: 1000001", "queue"),
        ("preload: {numpy: 1}", "preload"),
    ])
def test_a_key_out_of_range_is_named(client, config, said):
    error = refused(client.deploy_watch, "ranged", ECHO, config=f"runtime: python3\n{config}\n")
    assert (error.name, error.executed) == ("INVALID_ARGUMENT", "no"), error
    assert said in error.message, f"{said!r} is not in {error.message!r}"
    assert "ranged" not in client.names()


@pytest.mark.parametrize("config", ["batch: {max_sise: 4}", "concurency: 2", "warmup: {inptu: x}", "stratgy: rolling",
                                    "replicas: {minn: 1}"])
def test_a_misspelled_key_suggests_the_nearest(gateway, client, config):
    right = {"max_sise": "max_size", "concurency": "concurrency", "inptu": "input", "stratgy": "strategy",
             "minn": "min"}
    error = refused(client.deploy_watch, "ranged", ECHO, config=f"runtime: python3\n{config}\n")
    wrong = next(word for word in right if word in config)
    assert error.name == "INVALID_ARGUMENT" and wrong in error.message and f'"{right[wrong]}"' in error.message, error


def test_dcf_says_file_and_line_before_anything_is_sent(gateway, client):
    path = gateway.write("ranged", "echo")
    path.write_text(
        "functions:\n  ranged:\n    runtime: python3\n    batch:\n      max_size: 4\n      max_wait: soon\n")
    done = gateway.dcf("function", "create", "-f", str(path), check=False)
    assert done.returncode == 1 and "config.yaml:6" in done.error and "batch.max_wait" in done.error, done.error


@pytest.mark.parametrize(
    "config",
    [
        {"concurrency": 1}, {"concurrency": 1024}, {"batch": {}}, {"batch": {"max_size": 1}},
        {"batch": {"max_size": 1024, "max_wait": "60s"}},
        {"batch": {"max_size": 2, "max_wait": "0s", "retry": False}}, {"batch": {"max_size": 2}, "concurrency": 1},
        {"replicas": {"min": 0}}, {"replicas": {"min": 2}}, {"replicas": {"max": 2}}, {"timeout": {"idle": "24h"}},
        {"cancel": "flag"}, {"cancel": "raise"}, {"warmup": {"input": ""}}, {"warmup": {"input": "x"}}, {"warmup": {}},
        {"strategy": "rolling"}, {"strategy": "replace"},
        {"preload": []}, {"preload": ["json"]}, {"batch": None, "concurrency": None},
    ], ids=str)
def test_what_is_in_range_is_deployed_and_answers(gateway, client, config):
    code = ("class Handler:\n    def __call__(self, req):\n"
            "        return [r.input for r in req] if isinstance(req, list) else req.input\n")
    gateway.deploy("in-range", None, "--replace", files={"handler.py": code}, config=config)
    assert client.invoke("in-range", b"x", timeout=20) == "x"
    assert client.meta("in-range").Status == "Ready"
