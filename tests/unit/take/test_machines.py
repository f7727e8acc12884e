"""Ansible inventories and an ssh_config as an inventory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load_inventory
from orchestrator.take.files import Wish, files_of
from tests.unit.take.made import taken

INI = """\
; machines
mon.example.org
[sparks]
spark-[1:2] ansible_user=nvidia
rig ansible_host=10.0.0.7 ansible_port=2222 ansible_ssh_private_key_file=~/.ssh/rig # the 4090s
[head]
spark-1 ansible_user=root
[all_gpu:children]
sparks
head
[sparks:vars]
ansible_user=tom
ansible_become_pass=hunter2hunter2
[all:vars]
ansible_ssh_common_args='-o ProxyJump=bastion'
ntp_server=10.0.0.1
"""
YAML = """\
all:
  vars: {ansible_user: tom}
  children:
    sparks:
      hosts:
        spark-1: {ansible_host: 192.168.1.101}
        spark-2: {ansible_host: 192.168.1.102, vault_thing: !vault "$ANSIBLE_VAULT;1.1"}
      vars: {mtu: 9000}
    lonely: {hosts: {}}
  hosts:
    me: {ansible_connection: local}
"""
SSH = """\
# mine
Host spark-1 spark-2
  User nvidia
  IdentityFile ~/.ssh/spark
Host spark-1
  HostName 192.168.1.101
Host spark-2
  HostName %h.lan
  Port 2222
  ProxyJump spark-1
  ForwardAgent yes
Host github.com
  User git
Host *
  User tom
  ServerAliveInterval 30
Match host foo
  User x
"""


def inventory(
    tmp_path: Path, text: str, name: str, kind: str | None = None
) -> tuple[Cluster, str, list[str]]:
    one = taken(text, name)
    made = files_of({name: one}, Wish(kind=kind))
    path = tmp_path / "inventory.yaml"
    path.write_text(made.texts["inventory.yaml"])
    return load_inventory(path), made.texts["inventory.yaml"], [str(it) for it in one.left]


def hosts(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text)["hosts"])


def test_ini(tmp_path: Path) -> None:
    cluster, text, left = inventory(tmp_path, INI, "hosts.ini", "dgx-spark")
    assert hosts(text) == {
        "mon.example.org": {"address": "mon.example.org", "ssh": {"jump": "bastion"}},
        "spark-1": {"address": "spark-1", "ssh": {"jump": "bastion", "user": "root"}},
        "spark-2": {"address": "spark-2", "ssh": {"jump": "bastion", "user": "nvidia"}},
        "rig": {
            "address": "10.0.0.7",
            "ssh": {"jump": "bastion", "user": "tom", "port": 2222, "key": "~/.ssh/rig"},
        },
    }
    assert cluster.groups["sparks"] == ("spark-1", "spark-2", "rig")
    assert cluster.groups["all_gpu"] == ("spark-1", "spark-2", "rig")
    assert {host.kind.name for host in cluster.hosts.values()} == {"dgx-spark"}
    assert [one for one in left if "ntp_server" in one]
    assert [one for one in left if "ansible_become_pass" in one]
    assert "hunter2" not in text + " ".join(left)


def test_yaml(tmp_path: Path) -> None:
    cluster, _, left = inventory(tmp_path, YAML, "hosts.yml")
    assert cluster.hosts["spark-1"].address == "192.168.1.101"
    assert cluster.hosts["spark-1"].ssh.user == "tom"
    assert cluster.hosts["me"].local
    assert cluster.groups == {"sparks": ("spark-1", "spark-2")}
    told = "\n".join(left)
    for part in ("mtu", "vault_thing", "!vault", "group lonely"):
        assert part in told, part


def test_ssh_config(tmp_path: Path) -> None:
    cluster, text, left = inventory(tmp_path, SSH, "config")
    assert hosts(text) == {
        "spark-1": {"address": "192.168.1.101", "ssh": {"user": "nvidia", "key": "~/.ssh/spark"}},
        "spark-2": {
            "address": "spark-2.lan",
            "ssh": {"user": "nvidia", "key": "~/.ssh/spark", "port": 2222, "jump": "spark-1"},
        },
    }
    told = "\n".join(left)
    for part in ("github.com", "forwardagent", "serveraliveinterval", "Match host foo"):
        assert part in told, part
    assert cluster.hosts["spark-2"].ssh.jump == "spark-1"


def test_inventory_and_recipe_together(tmp_path: Path) -> None:
    recipe = "model: a/b\nruntime: vllm\ncontainer: i\ncommand: vllm serve {model} -tp 2\n"
    made = files_of(
        {"hosts.yml": taken(YAML, "hosts.yml"), "r.yaml": taken(recipe, "r.yaml")}, Wish()
    )
    assert set(made.texts) == {"inventory.yaml", "profiles/r.yaml", "cluster.yaml"}
    assert made.deployments["r"]["hosts"] == ["me"]  # the first: how many GPUs it has, nobody knows
