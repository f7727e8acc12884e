"""A docker compose file with one model service beside others."""

from __future__ import annotations

from pathlib import Path

from tests.unit.take.made import result

DESK = """\
name: desk
services:
  vllm:
    image: vllm/vllm-openai:v0.12.0
    container_name: vllm-head
    command: >
      --model example/Some-8B --tensor-parallel-size 2 --max-model-len ${LEN:-8192} --api-key ${KEY}
      --served-model-name some alias2
    ports: ["8001:8000"]
    environment:
      - HUGGING_FACE_HUB_TOKEN=hf_abcdefghijklmnopqrstuv
      - VLLM_LOGGING_LEVEL=INFO
      - WANDB_API_KEY
      - PRICE=$$5
    volumes:
      - ./models:/models:ro
      - hf-cache:/root/.cache/huggingface
      - ~/templates:/templates
      - {type: tmpfs, target: /scratch}
    shm_size: 16gb
    mem_limit: 64g
    restart: unless-stopped
    healthcheck: {test: [CMD, curl, localhost]}
    depends_on: [db]
    deploy:
      resources:
        reservations:
          devices: [{driver: nvidia, device_ids: ["0", "1"], capabilities: [gpu]}]
  db: {image: postgres:16}
volumes: {hf-cache: {}}
"""


def test_the_service_that_serves_is_taken(tmp_path: Path) -> None:
    made = result(tmp_path, DESK, "compose.yaml")
    assert made.profile == {
        "version": 1,
        "engine": "vllm",
        "model": "example/Some-8B",
        "served_name": "some",
        "image": "vllm/vllm-openai:v0.12.0",
        "args": {"max-model-len": 8192},
        "env": {"VLLM_LOGGING_LEVEL": "INFO", "PRICE": "$5"},
        "secrets": {
            "HUGGING_FACE_HUB_TOKEN": {"env": "HUGGING_FACE_HUB_TOKEN"},
            "WANDB_API_KEY": {"env": "WANDB_API_KEY"},
        },
        "api_key": {"env": "VLLM_API_KEY"},
        "mounts": [
            {"from": "/srv/desk/models", "to": "/models", "read_only": True},
            {"from": "desk_hf-cache", "to": "/root/.cache/huggingface"},
            {"from": "~/templates", "to": "/templates"},
        ],
        "shm": "16g",
    }
    assert made.deployment == {
        "profile": "vllm",
        "hosts": ["s1", "s2"],
        "port": 8001,
        "gpus": [0, 1],
        "limits": {"memory": "64g"},
        "parallel": {"tensor": 2},
    }
    assert made.document["takeover"] == ["vllm-head"]


def test_what_stays_behind_is_named_and_no_secret_is_written(tmp_path: Path) -> None:
    made = result(tmp_path, DESK, "compose.yaml")
    told = "\n".join(made.left)
    for part in (
        "services.db",
        "restart",
        "healthcheck",
        "depends_on",
        "./models",
        "alias2",
        "/scratch",
    ):
        assert part in told, part
    everything = told + "".join(made.files.texts.values())
    assert "hf_abcdefghijklmnopqrstuv" not in everything


def test_a_shell_in_the_command(tmp_path: Path) -> None:
    text = """\
services:
  llm:
    image: example.org/own:1
    network_mode: host
    entrypoint: [bash, -lc]
    command:
      - |
        set -e
        pip install qwen-vl-utils==0.0.14
        export MODEL=example/Vl-7B
        # don't ask
        nvidia-smi
        exec vllm serve $$MODEL --port 9000 --trust-remote-code
"""
    made = result(tmp_path, text, "docker-compose.yml")
    assert made.errors == []
    assert made.profile["model"] == "example/Vl-7B"
    assert made.profile["packages"] == ["qwen-vl-utils==0.0.14"]
    assert made.profile["args"] == {"trust-remote-code": True}
    assert made.deployment["port"] == 9000
    assert [one for one in made.left if "nvidia-smi" in one]


def test_two_servers_on_one_port_are_put_apart(tmp_path: Path) -> None:
    text = """\
services:
  one: {image: "vllm/vllm-openai:v0.12.0", command: [--model, a/b], network_mode: host}
  two: {image: "ghcr.io/ggml-org/llama.cpp:server-cuda", command: [-m, /m/x.gguf, --port, "8000"], network_mode: host}
"""
    made = result(tmp_path, text, "compose.yaml")
    ports = {name: one["port"] for name, one in made.document["deployments"].items()}
    assert ports == {"one": 8000, "two": 8001}
    assert [one for one in made.files.missing if "port 8000 is another's" in one]


def test_a_build_is_a_build(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "Dockerfile").write_text("FROM scratch\n")
    text = f"""\
services:
  llm:
    build: {{context: {tmp_path}/own, args: {{A: b}}}}
    command: vllm serve a/b
"""
    made = result(tmp_path, text, "compose.yaml")
    assert made.errors == []
    assert made.profile["build"] == {
        "dockerfile": f"{tmp_path}/own/Dockerfile",
        "context": f"{tmp_path}/own",
    }
    assert [one for one in made.left if "build.args" in one]


def test_parts_of_a_service_that_have_no_place_are_named_key_by_key(tmp_path: Path) -> None:
    text = """\
services:
  llm:
    image: vllm/vllm-openai:v0.12.0
    command: --model a/b
    ipc: shareable
    network_mode: service:vpn
    tty: true
    deploy: {replicas: 2, resources: {reservations: {memory: 8g}, limits: {pids: 100}}}
configs: {x: {file: y}}
"""
    told = "\n".join(result(tmp_path, text, "compose.yaml").left)
    for part in (
        "ipc",
        "network_mode",
        "tty",
        "deploy.replicas",
        "reservations.memory",
        "limits.pids",
        "configs",
    ):
        assert part in told, part
