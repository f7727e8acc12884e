"""Files of a cluster that is larger than any we know of: a thousand Sparks, two hundred models."""

from __future__ import annotations

from pathlib import Path

HOSTS, DEPLOYMENTS = 1000, 200

PROFILE = """\
version: 1
engine: vllm
executor: ray
model: {model}
image: registry.lan/vllm:25.11
heads: 40
args: {{max-model-len: 8192, enforce-eager: true}}
"""


def write(folder: Path, hosts: int = HOSTS, deployments: int = DEPLOYMENTS) -> Path:
    """inventory.yaml, cluster.yaml and one profile; the cluster file's path. Gangs of equal size."""
    gang = hosts // deployments
    rows, links, placed = [], [], []
    for number in range(hosts):
        address = f"10.{64 + number // 250 // 250}.{number // 250 % 250}.{number % 250 + 1}"
        rows.append(f"  n{number}: {{kind: dgx-spark, address: {address}}}")
    for number in range(deployments):
        names = [f"n{number * gang + i}" for i in range(gang)]
        ports = ", ".join(f"{name}.p0" for name in names)
        if number % 2:  # every other gang has a fabric that is still to be configured
            links.append(f"  - {{switch: s{number}, ports: [{ports}]}}")
        spread = f"hosts: [{', '.join(names)}], parallel: {{pipeline: {gang}}}, port: 8000"
        placed.append(f"  m{number}: {{profile: large, {spread}}}")
    (folder / "profiles").mkdir(parents=True, exist_ok=True)
    (folder / "profiles" / "large.yaml").write_text(PROFILE.format(model=folder / "weights"))
    (folder / "weights").mkdir(exist_ok=True)  # what the one machine that answers has
    (folder / "weights" / "config.json").write_text("{}\n")
    (folder / "weights" / "model.safetensors").write_bytes(b"weights")
    inventory = ["version: 1", "hosts:", *rows, "links:", *links, "network: {pool: 10.128.0.0/12}"]
    (folder / "inventory.yaml").write_text("\n".join(inventory) + "\n")
    cluster = ["version: 1", "name: big", "inventory: inventory.yaml", "deployments:", *placed]
    (folder / "cluster.yaml").write_text("\n".join(cluster) + "\n")
    return folder / "cluster.yaml"
