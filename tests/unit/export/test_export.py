"""`orch export`: what is expected of each form is written by hand from its own documentation."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from orchestrator.cli.export import export
from orchestrator.errors import FilesWrong
from orchestrator.export.formats import export_format, export_formats
from orchestrator.export.formats.systemd import quoted
from orchestrator.export.model import Exported
from orchestrator.facts.assumed import assumed_world
from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load_cluster
from tests.unit.take.made import SPARKS, result

ROOT = Path(__file__).resolve().parents[3]
CLUSTER = """\
version: 1
name: desk
takeover: [old]
deployments:
  big: {profile: big, hosts: [s1, s2], parallel: {tensor: 2}, port: 8000, limits: {memory: 64GiB, cpus: 8}}
  gguf: {profile: gguf, hosts: [s3, s4], port: 8080, after: [big]}
"""
PROFILES = {
    "big": """\
version: 1
engine: vllm
executor: ray
model: /models/big
served_name: big
image: example.org/vllm:1
api_key: {env: MY_KEY}
secrets: {HF_TOKEN: {file: ~/.token}}
args: {max-model-len: 4096, limit-mm-per-prompt: {video: 0}, override: "$(HOME) $x 100%"}
env: {ODD: "a$b %h \\"q\\" \\\\ $(NO)", OMP_NUM_THREADS: 1}
mounts: [{from: /srv/models, to: /models, read_only: true}, {from: ~/.cache/vllm, to: /root/.cache/vllm}]
caches: {triton: /root/.triton}
tmpfs: {/scratch: size=1g}
shm: 16GiB
warmup: {prompts: [10]}
""",
    "gguf": """\
version: 1
engine: llamacpp
model: /models/x.gguf
image: ghcr.io/ggml-org/llama.cpp:server-cuda
args: {"-ngl": 99}
""",
}


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    (tmp_path / "profiles").mkdir()
    for name, text in PROFILES.items():
        (tmp_path / "profiles" / f"{name}.yaml").write_text(text)
    (tmp_path / "inventory.yaml").write_text(
        SPARKS.replace("kind: dgx-spark", "kind: dgx-spark, ssh: {user: tom}")
    )
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    return load_cluster(tmp_path / "cluster.yaml")


def made(form: str, cluster: Cluster) -> Exported:
    return export_format(form).export(cluster, assumed_world(cluster))


def documents(text: str) -> list[dict[str, Any]]:
    return [dict(one) for one in yaml.safe_load_all(text)]


def unsaid(one: Exported) -> str:
    return "\n".join(map(str, one.unsaid))


# --- compose ----------------------------------------------------------------------------------------


def test_compose_has_a_folder_for_each_host(cluster: Cluster) -> None:
    found = made("compose", cluster)
    assert {path for path in found.texts if path.endswith("compose.yaml")} == {
        f"s{number}/compose.yaml" for number in (1, 2, 3, 4)
    }
    (document,) = documents(found.texts["s1/compose.yaml"])
    assert document["name"] == "orch-desk"
    service = document["services"]["orch-desk-big-0"]
    assert service["image"] == "example.org/vllm:1"
    assert service["network_mode"] == "host"
    assert service["shm_size"] == 16 * 1024**3
    assert (service["mem_limit"], service["cpus"]) == (64 * 1024**3, 8)
    assert service["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    ]
    assert service["devices"] == ["/dev/infiniband:/dev/infiniband"]
    assert service["ulimits"] == {"memlock": -1}
    assert service["tmpfs"] == ["/scratch:size=1g"]
    assert service["environment"]["ODD"] == 'a$$b %h "q" \\ $$(NO)'  # `$` is compose's own
    volumes = {one["target"]: one for one in service["volumes"]}
    assert volumes["/models"]["source"] == "/srv/models"
    assert volumes["/models"]["read_only"] is True
    assert volumes["/root/.cache/vllm"]["source"] == "${HOME}/.cache/vllm"
    assert volumes["/root/.triton"] == {
        "type": "volume",
        "source": "orch-cache-triton",
        "target": "/root/.triton",
    }
    assert document["volumes"] == {"orch-cache-triton": {"name": "orch-cache-triton"}}
    entry = volumes["/orch/entry.sh"]["source"]
    assert entry == "./orch-desk-big-0/entry.sh"
    assert "vllm serve /models/big" in found.texts["s1/orch-desk-big-0/entry.sh"]


def test_secrets_are_references_everywhere(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-neverWrittenAnywhere1")
    for form in export_formats():
        assert "neverWritten" not in "".join(made(form, cluster).texts.values())
    found = made("compose", cluster)
    (document,) = documents(found.texts["s1/compose.yaml"])
    env = document["services"]["orch-desk-big-0"]["environment"]
    assert env["HF_TOKEN"] == "${HF_TOKEN:?set it in .env}"
    assert env["VLLM_API_KEY"] == "${VLLM_API_KEY:?set it in .env}"
    assert "VLLM_API_KEY=   # from the variable MY_KEY" in found.texts["s1/.env.example"]
    assert "HF_TOKEN=   # from the file" in found.texts["s1/.env.example"]


def test_what_compose_has_no_word_for_is_named(cluster: Cluster) -> None:
    found = made("compose", cluster)
    for part in (
        "links",
        "takeover",
        "no gate",
        "completion",
        "warmup",
        "gguf.after",
        "gang over hosts",
    ):
        assert part in unsaid(found), part
    head = found.texts["s1/compose.yaml"].split("services:")[0]
    assert "# - links: addresses, MTU and netplan" in head


def test_compose_itself_takes_it_where_it_is_there(cluster: Cluster, tmp_path: Path) -> None:
    """`docker compose config` where that plugin is; by structure everywhere."""
    found = made("compose", cluster)
    for path, text in found.texts.items():
        (tmp_path / "out" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / path).write_text(text)
    plugin = shutil.which("docker") and subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    )
    for host in ("s1", "s2", "s3", "s4"):
        document = documents(found.texts[f"{host}/compose.yaml"])[0]
        for service in document["services"].values():
            assert all(isinstance(word, str) for word in service["command"])
            assert all(isinstance(value, str) for value in service["environment"].values())
            assert not re.search(
                r"(?<!\$)\$(?![${])", json.dumps(service)
            )  # no `$` that compose would read
        if plugin and plugin.returncode == 0:
            (tmp_path / "out" / host / ".env").write_text("HF_TOKEN=x\nVLLM_API_KEY=y\n")
            subprocess.run(
                ["docker", "compose", "config", "-q"], cwd=tmp_path / "out" / host, check=True
            )


def test_what_was_exported_can_be_imported(tmp_path: Path) -> None:
    """One host: the same server comes back."""
    line = "vllm serve a/b --max-model-len 4096 --port 8005"
    text = f"model: a/b\nruntime: vllm\ncontainer: i:1\nenv: {{A: b}}\ncommand: {line}\n"
    there = tmp_path / "there"
    there.mkdir()
    first = result(there, text)
    compose = made("compose", first.cluster).texts["s1/compose.yaml"]
    back = tmp_path / "back"
    back.mkdir()
    again = result(back, compose, "compose.yaml")
    assert again.profile["args"] == {"max-model-len": 4096}
    assert again.profile["model"] == "a/b"
    assert again.profile["env"]["A"] == "b"
    assert again.deployment["port"] == 8005


# --- systemd ----------------------------------------------------------------------------------------


def test_units_pass_systemds_own_check(cluster: Cluster, tmp_path: Path) -> None:
    found = made("systemd", cluster)
    units = {path: text for path, text in found.texts.items() if path.endswith(".service")}
    assert set(units) == {
        "s1/orch-desk-big-0.service", "s2/orch-desk-big-1.service",
        "s3/orch-desk-gguf-0.service", "s4/orch-desk-gguf-1.service",
    }  # fmt: skip
    (tmp_path / "docker.service").write_text("[Service]\nExecStart=/bin/true\n")
    for path, text in units.items():
        unit = tmp_path / Path(path).name
        unit.write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", "--generators=no", str(unit)],
            capture_output=True, text=True, check=False,
            env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        ours = [line for line in done.stderr.splitlines() if unit.name in line]
        assert (done.returncode, ours) == (0, []), done.stderr


def test_a_unit_runs_the_container_with_its_secrets_from_a_file(cluster: Cluster) -> None:
    text = made("systemd", cluster).texts["s1/orch-desk-big-0.service"]
    assert "EnvironmentFile=/etc/orch-export/orch-desk-big-0/env" in text
    assert "\n  -e HF_TOKEN \\\n" in text
    assert "--mount type=bind,source=/home/tom/.cache/vllm,target=/root/.cache/vllm" in text
    assert "ExecStartPre=/usr/bin/env mkdir -p /home/tom/.cache/vllm\n" in text
    assert '-e "ODD=a$$b %%h \\"q\\" \\\\ $$(NO)"' in text
    assert "--shm-size 17179869184" in text
    assert "# - deployments.big: no health check" in text


@pytest.mark.parametrize(
    ("word", "expected"),
    [("a-b=/c", "a-b=/c"), ("a b", '"a b"'), ("$HOME", '"$$HOME"'), ("50%", '"50%%"'), ("a\nb", '"a\\nb"'),
     (";", '";"'), ("", '""'), ("\\", '"\\\\"'), ('"', '"\\""'), ("'", '"\'"')],
)  # fmt: skip
def test_words_of_a_unit(word: str, expected: str) -> None:
    assert quoted(word) == expected


# --- Kubernetes -------------------------------------------------------------------------------------


def test_a_vllm_gang_as_a_leader_worker_set(cluster: Cluster) -> None:
    found = made("leaderworkerset", cluster)
    group, service = documents(found.texts["desk-big.yaml"])
    assert (group["apiVersion"], group["kind"]) == (
        "leaderworkerset.x-k8s.io/v1",
        "LeaderWorkerSet",
    )
    template = group["spec"]["leaderWorkerTemplate"]
    assert (template["size"], template["restartPolicy"]) == (2, "RecreateGroupOnPodRestart")
    (leader,) = template["leaderTemplate"]["spec"]["containers"]
    (worker,) = template["workerTemplate"]["spec"]["containers"]
    line = " ".join(leader["command"])
    assert line.startswith(
        "vllm serve /models/big --served-model-name big --host 0.0.0.0 --port 8000"
    )
    assert (
        "--nnodes $(LWS_GROUP_SIZE) --node-rank $(LWS_WORKER_INDEX) --master-addr $(LWS_LEADER_ADDRESS)"
        in line
    )
    assert "$$(HOME) $x 100%" in leader["command"]  # only `$(…)` is Kubernetes' own
    assert "--headless" not in line
    assert "--headless" in worker["command"]
    assert leader["resources"]["limits"] == {
        "nvidia.com/gpu": 1,
        "memory": str(64 * 1024**3),
        "cpu": "8",
    }
    env = {one["name"]: one for one in leader["env"]}
    assert env["VLLM_HOST_IP"]["value"] == "$(POD_IP)"
    assert env["HF_TOKEN"]["valueFrom"] == {
        "secretKeyRef": {"name": "desk-big-secrets", "key": "HF_TOKEN"}
    }
    assert "NCCL_SOCKET_IFNAME" not in env
    assert "RAY_ADDRESS" not in env
    assert leader["readinessProbe"]["httpGet"] == {"path": "/health", "port": 8000}
    named = {one["name"] for one in template["leaderTemplate"]["spec"]["volumes"]}
    assert {one["name"] for one in leader["volumeMounts"]} == named
    assert service["spec"]["selector"] == {"app": "desk-big", "role": "leader"}
    assert "Ray's place" in unsaid(found)


def test_llama_cpp_finds_its_workers_by_their_pods_names(cluster: Cluster) -> None:
    group, _ = documents(made("leaderworkerset", cluster).texts["desk-gguf.yaml"])
    template = group["spec"]["leaderWorkerTemplate"]
    (leader,) = template["leaderTemplate"]["spec"]["containers"]
    (worker,) = template["workerTemplate"]["spec"]["containers"]
    assert "desk-gguf-0-1.desk-gguf:50052" in leader["command"]
    assert worker["command"] == ["rpc-server", "-H", "$(POD_IP)", "-p", "50052"]


def test_a_ray_service(cluster: Cluster) -> None:
    found = made("rayservice", cluster)
    assert set(found.texts) == {"desk-big.yaml"}
    assert "gguf: Ray Serve has no llamacpp" in unsaid(found)
    (document,) = documents(found.texts["desk-big.yaml"])
    assert (document["apiVersion"], document["kind"]) == ("ray.io/v1", "RayService")
    (application,) = yaml.safe_load(document["spec"]["serveConfigV2"])["applications"]
    assert application["import_path"] == "ray.serve.llm:build_openai_app"
    (config,) = application["args"]["llm_configs"]
    assert config["model_loading_config"] == {"model_id": "big", "model_source": "/models/big"}
    assert config["engine_kwargs"] == {
        "tensor_parallel_size": 2,
        "max_model_len": 4096,
        "limit_mm_per_prompt": {"video": 0},
        "override": "$(HOME) $x 100%",
    }
    rays = document["spec"]["rayClusterConfig"]
    assert rays["workerGroupSpecs"][0]["replicas"] == 1
    pod = rays["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert "command" not in pod
    assert pod["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_every_example_can_be_exported() -> None:
    """Whatever people have in their files, each form gives texts or says why not."""
    paths = [
        one.parent / "cluster.yaml" for one in sorted((ROOT / "examples").glob("*/inventory.yaml"))
    ]
    for path in [one for one in paths if one.exists()]:
        one = load_cluster(path, purpose="look")
        for form in export_formats():
            found = made(form, one)
            assert found.texts or found.unsaid, (path, form)
            for name, text in found.texts.items():
                if name.endswith(".yaml"):
                    assert documents(text), (path, name)


# --- the command ------------------------------------------------------------------------------------


def test_the_command(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    shown = run.invoke(export, ["compose"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "# --- s1/compose.yaml" in shown.stdout
    assert "not in it: links" in shown.stderr
    done = run.invoke(export, ["systemd", "-o", "out", "--hosts", "s3"], catch_exceptions=False)
    assert done.stdout.splitlines()[0] == "out/s3/orch-desk-gguf-0.service"
    assert not (tmp_path / "out/s1").exists()
    with pytest.raises(FilesWrong, match="not written over"):
        run.invoke(export, ["systemd", "-o", "out"], catch_exceptions=False)
    told = json.loads(run.invoke(export, ["rayservice", "--json"], catch_exceptions=False).stdout)
    assert set(told) == {"version", "files", "written", "unsaid"}
    with pytest.raises(FilesWrong, match="unknown form"):
        run.invoke(export, ["nomad"], catch_exceptions=False)
