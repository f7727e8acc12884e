"""SGLang's ranks: the lines of its own document "Multi-Node Deployment", and what is refused before a host is asked."""

from __future__ import annotations

from pathlib import Path

from orchestrator.contracts import Rank
from orchestrator.engines import engine
from orchestrator.facts.assumed import assumed_world
from orchestrator.flags.versions import known
from orchestrator.spec.check import check
from orchestrator.spec.models import Cluster
from tests.gangs import LAB, SPARKS, TOWER, cluster_of, only

BASE = """
    engine: sglang
    model: /models/m
    image: lmsysorg/sglang:v0.5.23
"""


def ranks(cluster: Cluster, name: str | None = None) -> list[Rank]:
    deployment = cluster.deployments[name] if name else only(cluster)
    return list(engine("sglang").ranks(cluster, deployment, assumed_world(cluster)))


def findings(cluster: Cluster) -> str:
    deployment = only(cluster)
    return "\n".join(str(one) for one in engine("sglang").validate(cluster, deployment))


def test_two_hosts(tmp_path: Path) -> None:
    cluster = cluster_of(
        tmp_path,
        "s: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 30000}",
        LAB,
        {
            "p": BASE
            + "    served_name: s\n    args: {trust-remote-code: true}\n    ready: {start: 90m}\n"
        },
    )
    head, worker = ranks(cluster)
    assert (head.entrypoint, worker.entrypoint) == ("python3", "python3")
    assert " ".join(head.argv) == (
        "-m sglang.launch_server --model-path /models/m --served-model-name s"
        " --host 0.0.0.0 --port 30000 --tp-size 2 --nnodes 2 --node-rank 0"
        " --dist-init-addr 10.20.0.10:29600 --dist-timeout 5400 --trust-remote-code"
    )
    assert " ".join(worker.argv) == (
        "-m sglang.launch_server --model-path /models/m --served-model-name s"
        " --host 127.0.0.1 --port 29609 --tp-size 2 --nnodes 2 --node-rank 1"
        " --dist-init-addr 10.20.0.10:29600 --dist-timeout 5400 --trust-remote-code"
    )
    assert [one.env["SGLANG_HOST_IP"] for one in (head, worker)] == ["10.20.0.10", "10.20.0.11"]
    assert [set(one.ports) for one in (head, worker)] == [{30000, 29600}, {29609}]
    assert head.env["ORCH_GANG"] == worker.env["ORCH_GANG"]
    assert (head.restart, worker.restart) == ("no", "no")
    assert head.health is not None
    assert worker.health is None
    assert findings(cluster) == ""


def test_one_host(tmp_path: Path) -> None:
    profile = (
        BASE
        + "    args: {mem-fraction-static: 0.9, disable-radix-cache: false, json-model-override-args: {a: 1}}\n"
    )
    line = "s: {profile: p, hosts: [tower], gpus: [2], memory: 6GiB, port: 30000}"
    cluster = cluster_of(tmp_path, line, TOWER, {"p": profile})
    (rank,) = ranks(cluster)
    assert list(rank.argv) == [
        "-m", "sglang.launch_server", "--model-path", "/models/m", "--host", "0.0.0.0",
        "--port", "30000", "--tp-size", "1", "--json-model-override-args", '{"a": 1}',
        "--mem-fraction-static", "0.25",
    ]  # fmt: skip
    assert "SGLANG_HOST_IP" not in rank.env
    assert rank.gpus == ("2",)
    assert rank.restart == "on-failure:10"


def test_an_embedding_server_says_so(tmp_path: Path) -> None:
    line = "s: {profile: p, hosts: [tower], parallel: {pipeline: 3}}"
    cluster = cluster_of(tmp_path, line, TOWER, {"p": BASE + "    task: embed\n"})
    (rank,) = ranks(cluster)
    assert "--is-embedding" in rank.argv
    assert rank.argv[rank.argv.index("--pp-size") + 1] == "3"


def test_two_gangs_on_the_same_hosts_meet_at_their_own_ports(tmp_path: Path) -> None:
    cluster = cluster_of(
        tmp_path,
        """
        a: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 30000}
        b: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 30001}
        """,
        LAB,
        {"p": BASE},
    )
    used = [rank.ports for name in ("a", "b") for rank in ranks(cluster, name)]
    assert [set(ports) for ports in used] == [{30000, 29600}, {29609}, {30001, 29610}, {29619}]


def test_packages_come_first_and_values_do_not_break_out(tmp_path: Path) -> None:
    profile = BASE + '    packages: [x==1]\n    args: {chat-template: "\'; touch /tmp/never #"}\n'
    cluster = cluster_of(tmp_path, "s: {profile: p, hosts: [tower]}", TOWER, {"p": profile})
    (rank,) = ranks(cluster)
    script = rank.files["/orch/entry.sh"]
    assert "python3 -m pip install --quiet --root-user-action=ignore x==1" in script
    assert script.rstrip().endswith("""--chat-template ''"'"'; touch /tmp/never #'""")


def test_what_it_refuses(tmp_path: Path) -> None:
    profile = BASE + "    api_key: {env: KEY}\n    executor: ray\n    args: {nnodes: 2}\n"
    line = (
        "s: {profile: p, hosts: [spark-1, spark-2], parallel: {data: 2}, supervision: entrypoint}"
    )
    said = findings(cluster_of(tmp_path, line, LAB, {"p": profile}))
    assert "SGLang has no replicas over hosts" in said
    assert "can't take one rank back" in said
    assert "executor ray is vLLM's" in said
    assert "writes its arguments into its log" in said
    assert "orch sets nnodes itself" in said
    line = "s: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 3}}"
    assert "can't be spread evenly over 2 hosts" in findings(
        cluster_of(tmp_path, line, LAB, {"p": BASE})
    )


def test_awq_over_hosts_is_refused_with_the_notes_reason(tmp_path: Path) -> None:
    awq = BASE.replace("/models/m", "QuantTrio/Qwen3-VL-235B-A22B-Instruct-AWQ")
    line = "s: {profile: p, hosts: [spark-2, spark-3], parallel: {tensor: 2}}"
    found = check(cluster_of(tmp_path, line, SPARKS, {"p": awq}))
    (said,) = (one for one in found if "hangs" in one.message)
    assert (said.severity, said.suggestion) == ("error", "engine: vllm")


def test_each_flag_of_ours_is_one_of_every_version(tmp_path: Path) -> None:
    """Those of `orch` itself: the table is made from SGLang's sources."""
    table = known("sglang")
    assert table is not None
    line = "s: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2, pipeline: 2}}"
    profile = BASE + "    served_name: s\n    task: embed\n"
    cluster = cluster_of(tmp_path, line, LAB, {"p": profile})
    for rank in ranks(cluster):
        flags = [word[2:] for word in rank.argv if word.startswith("--")]
        assert len(flags) >= 10
        for version in table.versions:
            assert [one for one in flags if not table.has(one, version)] == []
