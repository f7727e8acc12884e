"""A folder with small right files that each test spoils in its own way."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import FilesWrong
from orchestrator.spec import check
from orchestrator.spec.models import Cluster, Finding
from orchestrator.spec.resolve import Purpose, load_cluster

INVENTORY = """\
version: 1
hosts:
  spark-1: {kind: dgx-spark, address: 192.168.102.10}
  spark-2: {kind: dgx-spark, address: 192.168.102.11}
  spark-3: {kind: dgx-spark, address: 192.168.102.12}
  rig: {kind: gpu-host, address: rig.lan, gpus: 8}
groups: {pair: [spark-2, spark-3]}
links:
  - [spark-2.p1, spark-3.p1]
"""

CLUSTER = """\
version: 1
name: duo
deployments:
  vl:
    profile: big
    hosts: pair
    parallel: {tensor: 2}
"""

PROFILE = """\
version: 1
engine: vllm
model: some/model
image: image:1
args: {gpu-memory-utilization: 0.7, nested: {a: 1, b: 2}}
env: {A: one, B: two}
"""


class QuietEngine:
    """Finds nothing: what engines find is tested with the engines."""

    def validate(self, cluster: Cluster, deployment: object) -> tuple[Finding, ...]:
        return ()


class Site:
    """A user's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("inventory.yaml", INVENTORY)
        self.write("cluster.yaml", CLUSTER)
        self.write("profiles/big.yaml", PROFILE)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        if old not in text:
            raise ValueError(f"{old!r} is not in {name}")
        self.write(name, text.replace(old, new))

    def deploy(self, *lines: str) -> None:
        """cluster.yaml with these deployments, one a line."""
        text = "version: 1\nname: duo\ndeployments:\n"
        self.write("cluster.yaml", text + "".join(f"  {line}\n" for line in lines))

    def load(self, *overrides: str, purpose: Purpose = "check") -> Cluster:
        return load_cluster(self.root / "cluster.yaml", overrides, purpose=purpose)

    def errors(self, *overrides: str, purpose: Purpose = "check") -> list[str]:
        """The findings, as they are shown, with the folder cut off."""
        with pytest.raises(FilesWrong) as caught:
            self.load(*overrides, purpose=purpose)
        return [str(finding).replace(f"{self.root}/", "") for finding in caught.value.findings]

    def error(self, *overrides: str, purpose: Purpose = "check") -> str:
        """The only finding."""
        found = self.errors(*overrides, purpose=purpose)
        if len(found) != 1:
            raise AssertionError("\n".join(found))
        return found[0]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_engine", lambda name: QuietEngine())
