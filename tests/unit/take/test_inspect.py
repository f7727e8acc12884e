"""What `docker inspect` says: a head and a worker started by a script, and servers of one host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestrator.take.files import Place, Wish, files_of
from orchestrator.take.inspected import Inspected, gangs
from orchestrator.take.model import Taken
from tests.unit.take.made import PLACES, result

HUB = ".cache/huggingface"
TOKEN = "hf_ThisIsASecretOfTheirs1234"


def described(
    name: str, words: list[str], env: list[str] | None = None, **host: Any
) -> dict[str, Any]:
    """One element of docker's answer, as far as it is read."""
    return {
        "Name": f"/{name}",
        "Path": words[0],
        "Args": words[1:],
        "Config": {
            "Image": "nvcr.io/nvidia/vllm:25.11-py3",
            "Env": ["PATH=/usr/bin", "NVARCH=sbsa", *(env or [])],
            "Entrypoint": None,
            "Cmd": words,
            "User": "",
        },
        "HostConfig": {
            "NetworkMode": "host",
            "IpcMode": "host",
            "ShmSize": 67108864,
            "Privileged": True,
            "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
            "DeviceRequests": [{"Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]]}],
            **host,
        },
        "Mounts": [
            {"Type": "bind", "Source": f"/home/tom/{HUB}", "Destination": f"/root/{HUB}", "RW": True},
        ],
    }  # fmt: skip


LINE = """vllm serve QuantTrio/Qwen3-VL-235B-A22B-Instruct-AWQ --tensor-parallel-size 2 --port 8000
--host 0.0.0.0 --distributed-executor-backend ray --gpu-memory-utilization 0.70 --enforce-eager"""
SERVE = LINE.split()
HEAD_ENV = [f"HF_TOKEN={TOKEN}", "VLLM_HOST_IP=192.168.100.10", "OMP_NUM_THREADS=1"]
WORKER_ENV = ["VLLM_HOST_IP=192.168.100.11", "OMP_NUM_THREADS=2"]


def test_a_head_and_a_worker_are_one_deployment() -> None:
    """The notes' form: Ray in the containers, the server started in the head by `docker exec`."""
    start = ["ray", "start", "--head", "--port=6379", "--block"]
    join = ["bash", "-c", "until ray start --address=192.168.100.10:6379 --block; do sleep 5; done"]
    head = Inspected(
        "s2",
        described("vllm-head", start, HEAD_ENV),
        processes=[start, ["/usr/bin/python3", *SERVE[:0], "/usr/local/bin/vllm", *SERVE[1:]]],
    )
    worker = Inspected("s3", described("vllm-worker", join, WORKER_ENV))
    taken = Taken("inspect")
    gangs([worker, head], taken, "vllm-head")
    made = files_of({"s2:vllm-head, s3:vllm-worker": taken}, Wish(places=PLACES))
    (name,) = taken.profiles
    profile = taken.profiles[name]
    assert name == "vllm"
    assert profile["executor"] == "ray"
    assert profile["model"] == "QuantTrio/Qwen3-VL-235B-A22B-Instruct-AWQ"
    assert profile["args"] == {"gpu-memory-utilization": 0.7, "enforce-eager": True}
    assert profile["secrets"] == {"HF_TOKEN": {"env": "HF_TOKEN"}}
    assert profile["env"] == {"OMP_NUM_THREADS": "1"}
    assert profile["env_by_host"] == {"s3": {"OMP_NUM_THREADS": "2"}}
    assert made.deployments["vllm"] == {
        "profile": "vllm", "hosts": ["s2", "s3"], "port": 8000, "parallel": {"tensor": 2},
    }  # fmt: skip
    assert "takeover: [vllm-head, vllm-worker]" in made.texts["cluster.yaml"]
    told = "\n".join(map(str, taken.left))
    assert "VLLM_HOST_IP" in told
    assert "privileged" in told
    assert TOKEN not in told + "".join(made.texts.values())


def test_a_file_of_docker_inspect(tmp_path: Path) -> None:
    words = ["/usr/bin/vllm", *SERVE[1:], "--api-key", "sk-notToBeWritten12345"]
    made = result(
        tmp_path, json.dumps([described("big", words, HEAD_ENV)]), "inspect.json", ("s1", "s2")
    )
    assert made.errors == []
    assert made.profile["api_key"] == {"env": "VLLM_API_KEY"}
    assert made.profile["commands"] == {"vllm": "/usr/bin/vllm"}
    assert made.document["takeover"] == ["big"]
    assert "sk-notToBe" not in "".join(made.files.texts.values()) + " ".join(made.left)


def test_what_the_image_brings_is_not_a_setting() -> None:
    one = described("a", ["vllm", "serve", "x/y"], ["VLLM_USAGE_SOURCE=image", "MINE=1"])
    taken = Taken("inspect")
    gangs([Inspected("s1", one, {"Config": {"Env": ["VLLM_USAGE_SOURCE=image"]}})], taken, "a")
    assert taken.profiles["a"]["env"] == {"MINE": "1"}


def test_an_rpc_worker_of_llama_cpp(tmp_path: Path) -> None:
    head = [
        "llama-server",
        "-m",
        "/models/x.gguf",
        "--rpc",
        "192.168.0.2:50060",
        "-ngl",
        "99",
        "--port",
        "8080",
    ]
    worker = ["ggml-rpc-server", "-t", "1", "-H", "0.0.0.0", "-p", "50060"]
    taken = Taken("inspect")
    gangs(
        [Inspected("s1", described("head", head)), Inspected("s2", described("rpc", worker))],
        taken,
        "x",
    )
    made = files_of({"both": taken}, Wish(places=PLACES))
    ((name, entry),) = made.deployments.items()
    assert entry == {"profile": name, "hosts": ["s1", "s2"], "port": 8080}
    profile = taken.profiles[name]
    assert profile["rpc_port"] == 50060
    assert profile["commands"] == {"rpc-server": "ggml-rpc-server -t 1"}
    assert profile["args"] == {"-ngl": 99}


def test_a_worker_without_its_head_is_named() -> None:
    taken = Taken("inspect")
    gangs([Inspected("s2", described("rpc", ["rpc-server", "-p", "1"]))], taken, "x")
    assert taken.profiles == {}
    assert [one for one in map(str, taken.left) if "container rpc" in one]


def test_published_ports_gpus_and_limits(tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "NetworkMode": "bridge",
        "IpcMode": "private",
        "PortBindings": {"8000/tcp": [{"HostIp": "", "HostPort": "9001"}]},
        "ShmSize": 17179869184,
        "Memory": 8589934592,
        "NanoCpus": 4000000000,
        "DeviceRequests": [{"Count": 0, "DeviceIDs": ["1"], "Capabilities": [["gpu"]]}],
    }
    made = result(
        tmp_path, json.dumps([described("one", ["vllm", "serve", "x/y"], **more)]), "i.json"
    )
    assert made.deployment["port"] == 9001
    assert made.deployment["gpus"] == [1]
    assert made.deployment["limits"] == {"memory": 8589934592, "cpus": 4.0}
    assert made.profile["shm"] == 17179869184


def test_what_docker_can_say_and_orch_not_is_named() -> None:
    one = described(
        "a", ["vllm", "serve", "x/y"], PidsLimit=512, PidMode="host", ExtraHosts=["db:10.0.0.1"]
    )
    one["Config"] |= {"User": "1000", "Labels": {"mine": "1", "theirs": "2"}}
    taken = Taken("inspect")
    gangs([Inspected("s1", one, {"Config": {"Labels": {"theirs": "2"}}})], taken, "a")
    told = "\n".join(map(str, taken.left))
    for part in ("pids-limit (512)", "pid (host)", "add-host", "user (1000)", 'labels (["mine"])'):
        assert part in told, part


def test_a_host_with_more_gpus_than_the_server_uses() -> None:
    """`gpus:` says how many: sizes that leave GPUs unused are refused otherwise."""
    taken = Taken("inspect")
    gangs([Inspected("rig", described("a", ["vllm", "serve", "x/y", "-tp", "2"]))], taken, "a")
    made = files_of({"x": taken}, Wish(places=(Place("rig", 4),)))
    assert made.deployments["a"]["gpus"] == 2
