"""Bad input that shows on hosts: a sentence with the host and what to do, the right exit code, nothing touched."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.lab.faults import break_, heal
from tests.lab.conftest import RAILS, SET_UP_SECONDS, Lab
from tests.lab.site import ROOT, Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

SECONDS_TO_TELL = 30  # from the container's end to its own words here, on a busy machine
# What a run could leave on a host: containers, netplan, units, limits, leases, jobs, addresses.
LOOK = """
ls /var/lib/docker/containers
find /etc/netplan /etc/systemd/system /etc/security /var/lib/orch* /run/orch /home/orch/.local /models -type f \
  -exec sha256sum {} + 2>/dev/null | sort -k 2
find /etc/netplan /etc/systemd /var/lib/orch* /run/orch /home/orch/.local 2>/dev/null | sort
ip -o addr show | sed 's/ *valid_lft.*//'
"""
SERVER = "import http.server; http.server.HTTPServer(('', {}), http.server.BaseHTTPRequestHandler).serve_forever()"


@dataclass
class Hosts:
    """The lab's hosts, past SSH and as root."""

    lab: Lab

    def inside(self, host: str, script: str) -> str:
        return self.lab.inside(host, script)

    def seen(self) -> dict[str, str]:
        """What there is on each host that runs."""
        found = {}
        for host in self.lab.hosts:
            container = self.lab.docker.inspect("container", self.lab.container(host))[0]
            if container["State"]["Running"]:
                found[host] = self.inside(host, LOOK)
        return found

    def settled(self, host: str) -> None:
        """The network does what its files say, and has come to rest."""
        before = ""
        for _ in range(30):
            now = self.inside(host, f"{LOOK} sleep 1; networkctl --no-legend list")
            if now == before and "configuring" not in now:
                return
            before = now
        raise AssertionError(before)

    @contextmanager
    def broken(self, host: str, fault: str) -> Iterator[None]:
        try:
            break_(self.lab.home, self.lab.name, host, fault)
            yield
        finally:
            heal(self.lab.home, self.lab.name, host, fault)

    @contextmanager
    def changed(self, host: str, there: str, back: str) -> Iterator[None]:
        """Something done on a host by root, and undone."""
        try:
            self.inside(host, there)
            yield
        finally:
            self.inside(host, back)


@pytest.fixture
def hosts(lab: Lab) -> Hosts:
    """Hosts as they come: a run that does more than it should would set up their network."""
    lab.forget_network()
    return Hosts(lab)


@pytest.fixture
def site(hosts: Hosts, tmp_path: Path) -> Iterator[Site]:
    one = Site(hosts.lab, tmp_path)
    try:
        yield one
    finally:
        one.orch("down", rc=None)


@dataclass(frozen=True)
class Complaint:
    """What a run says that went wrong: one step's failure, or the run's own."""

    host: str
    text: str
    hint: str

    def says(self, *words: str) -> bool:
        whole = f"{self.host} {self.text} {self.hint}"
        return all(word in whole for word in words)


def complaints(events: list[dict[str, Any]]) -> list[Complaint]:
    found = [one for one in events if one["kind"] in ("step-failed", "gate-refused")]
    last = events[-1]
    if not found:
        found = [last]
    return [
        Complaint(
            one.get("data", {}).get("at") or one.get("host") or "",
            one["text"],
            one.get("data", {}).get("hint", ""),
        )
        for one in found
    ]


def refused(site: Site, rc: int, *words: str) -> Complaint:
    """`orch up` ends with this code, says these words with a hint, and leaves the hosts as they are."""
    seen = Hosts(site.lab)
    before = seen.seen()
    events = site.events("up", rc=rc)
    assert seen.seen() == before
    assert changed(events) == []
    assert [one for one in events if one["kind"] == "lease"] == []
    assert [one for one in events if one["kind"] == "step-started" and one.get("text")] == []
    said = complaints(events)
    fitting = [one for one in said if one.says(*words)]
    assert fitting, said
    assert all(one.hint for one in said), said
    shown = site.orch("up", rc=rc).stdout
    assert all(word in shown for word in words), shown
    assert "hint" in shown
    assert "Traceback" not in shown
    return fitting[0]


def edit(site: Site, file: str, change: Callable[[dict[str, Any]], None]) -> None:
    content = yaml.safe_load((site.folder / file).read_text())
    change(content)
    site.write(file, yaml.safe_dump(content))


def on_one_host(site: Site, ssh: Mapping[str, str]) -> None:
    """Other SSH settings for spark-2 alone."""
    edit(site, "inventory.yaml", lambda text: text["hosts"]["spark-2"].update(ssh=dict(ssh)))


def with_profile(site: Site, text: str, hosts: str = "[spark-1, spark-2]", more: str = "") -> None:
    """The deployment `tiny` by a profile of its own."""
    site.write("profiles/own.yaml", f"version: 1\n{text}")
    site.write(
        "cluster.yaml",
        "version: 1\nname: t\ninventory: inventory.yaml\ndeployments:\n"
        f'  tiny: {{profile: own, hosts: {hosts}, port: 8000, gate: {{rdma: "off"}}{more}}}\n',
    )


# --- reaching hosts ---------------------------------------------------------------------------------


def test_a_host_that_is_off(site: Site, hosts: Hosts) -> None:
    with hosts.broken("spark-2", "power-off"):
        said = refused(site, 3, "spark-2", site.lab.address("spark-2"))
        assert said.host == "spark-2"
        site.orch("plan", rc=3)


def key_lines(site: Site) -> dict[str, str]:
    """Address → key, as known_hosts has them."""
    lines = (site.folder / "known_hosts").read_text().splitlines()
    return {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in lines if line.strip()}


def test_another_host_key(site: Site) -> None:
    keys = key_lines(site)
    one, other = site.lab.address("spark-1"), site.lab.address("spark-2")
    site.write("known_hosts", f"{one} {keys[one]}\n{other} {keys[one]}\n")
    said = refused(site, 3, "spark-2", "its host key is", "was expected")
    assert "SHA256:" in said.text
    assert f"ssh-keygen -R {other} -f {site.folder}/known_hosts" in said.hint
    assert "--accept-new-host-keys" in said.hint
    site.orch("up", "--accept-new-host-keys", rc=3)  # new is not changed


def test_a_host_key_that_nobody_knows(site: Site) -> None:
    keys = key_lines(site)
    one, other = site.lab.address("spark-1"), site.lab.address("spark-2")
    site.write("known_hosts", f"{one} {keys[one]}\n")
    said = refused(site, 3, "spark-2", "its host key is not known")
    assert "SHA256:" in said.text
    assert "--accept-new-host-keys" in said.hint
    site.orch("plan", "--accept-new-host-keys")
    assert other in key_lines(site)


def test_a_key_that_is_refused(site: Site) -> None:
    key = site.folder / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    on_one_host(site, {"key": "./stranger"})
    refused(site, 3, "spark-2", "refused the keys offered for user orch", "ssh.key")


# --- rights and the engine --------------------------------------------------------------------------

GUEST = """
useradd --create-home --shell /bin/bash {groups} guest
install -d -m 700 -o guest -g guest /home/guest/.ssh
install -m 600 -o guest -g guest /home/orch/.ssh/authorized_keys /home/guest/.ssh/
"""
GONE = """systemctl stop "user@$(id -u guest).service" 2>/dev/null
pkill -KILL -u guest; userdel --remove guest 2>/dev/null
systemctl reset-failed; true"""


def test_a_user_without_sudo(site: Site, hosts: Hosts) -> None:
    with hosts.changed("spark-2", GUEST.format(groups="--groups docker"), GONE):
        on_one_host(site, {"user": "guest"})
        refused(site, 4, "spark-2", "netplan", "`sudo -n` does not work for guest", "NOPASSWD")


def test_docker_is_stopped(site: Site, hosts: Hosts) -> None:
    with hosts.broken("spark-2", "docker-down"):
        refused(site, 4, "spark-2", "Cannot connect to the Docker daemon", "systemctl start docker")


def test_a_user_that_docker_refuses(site: Site, hosts: Hosts) -> None:
    with hosts.changed("spark-2", "gpasswd -d orch docker", "gpasswd -a orch docker"):
        refused(site, 4, "spark-2", "docker refuses orch", "usermod -aG docker orch")


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("/var/lib/docker", ("where docker keeps its data, is full", "prune")),
        ("/models", ("models folder /models", "0 B free", "models:")),
    ],
)
def test_a_full_disk(site: Site, hosts: Hosts, folder: str, words: tuple[str, ...]) -> None:
    with hosts.broken("spark-2", f"disk-full:{folder}"):
        look = {
            "models": "/models",
            "prepare": {"model_disk": True},
        }  # off, as a lab's models lie on an overlay
        edit(site, "inventory.yaml", lambda text: text["hosts"]["spark-2"].update(look))
        refused(site, 4, "spark-2", *words)


# --- images and models ------------------------------------------------------------------------------


def test_an_image_that_does_not_exist(site: Site, hosts: Hosts) -> None:
    with_profile(site, "extends: lab-llama\nimage: 127.0.0.1:9/orch/none:1\n")
    site.orch("up", rc=1)  # the fabric is right from here on
    before = hosts.seen()
    failed = site.orch("up", rc=1).stdout
    assert "127.0.0.1:9/orch/none:1" in failed
    assert "spark-1" in failed
    assert "docker pull" in failed
    assert {host: containers(text) for host, text in hosts.seen().items()} == {
        host: containers(text) for host, text in before.items()
    }


def containers(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) == 64]


VLLM = "extends: lab-vllm-native\n"
MODEL = f"{VLLM}model: /srv/m/tiny-llama\nmounts: [{{from: /srv/m, to: /srv/m, read_only: true}}]\n"
COPY = "mkdir -p /srv/m && cp -a /models/tiny-llama /srv/m/ && chown -R orch /srv/m"


def test_a_model_that_is_missing_on_one_host(site: Site, hosts: Hosts) -> None:
    with_profile(site, MODEL, more=", parallel: {tensor: 2}")
    with hosts.changed("spark-1", COPY, "rm -rf /srv/m"):
        said = refused(site, 4, "model /srv/m/tiny-llama is missing on spark-2")
        assert "spark-1" not in said.text
        assert site.orch("plan", rc=4)


def test_models_that_differ(site: Site, hosts: Hosts) -> None:
    with_profile(site, MODEL, more=", parallel: {tensor: 2}")
    longer = f"{COPY}; echo more >>/srv/m/tiny-llama/config.json"
    with (
        hosts.changed("spark-1", COPY, "rm -rf /srv/m"),
        hosts.changed("spark-2", longer, "rm -rf /srv/m"),
    ):
        refused(site, 4, "spark-2", "is another than on spark-1", "rsync -a --delete")


def with_mounts(site: Site, *more: Mapping[str, str]) -> None:
    mounts = yaml.safe_load((ROOT / "profiles/lab-llama.yaml").read_text())["mounts"]
    with_profile(site, f"extends: lab-llama\n{yaml.safe_dump({'mounts': [*mounts, *more]})}")


def test_a_mount_that_is_missing_on_one_host(site: Site, hosts: Hosts) -> None:
    tree = "/srv/vllm tree"
    with_mounts(site, {"from": tree, "to": "/srv/tree"}, {"from": "~/mine", "to": "/srv/mine"})
    there = f"mkdir -p '{tree}' ~orch/mine"
    with hosts.changed("spark-1", there, f"rmdir '{tree}' ~orch/mine"):
        said = refused(site, 4, f"{tree} on spark-2", "~/mine on spark-2", "`mounts:` of own")
        assert "spark-1" not in said.text
        site.orch("plan", rc=4)


def test_a_mount_that_is_missing_where_only_root_may_look(site: Site, hosts: Hosts) -> None:
    """Docker makes nothing of it, and says so: neither to look into the image, nor to start."""
    with_mounts(site, {"from": "/root/none, or not", "to": "/srv/none"})
    done = site.orch("up", rc=1)
    assert "path does not exist: /root/none, or not" in done.stdout + done.stderr
    hosts.inside("spark-2", "! ls -d /root/none*")


# --- hosts of a gang that are not alike -------------------------------------------------------------

EARLYOOM = "cp /bin/sleep /var/tmp/earlyoom; setsid /var/tmp/earlyoom 900 >/dev/null 2>&1 & sleep 1; echo $! >/run/oom"


def test_an_oom_killer_on_one_host_of_a_gang(site: Site, hosts: Hosts) -> None:
    """A warning, unless the files want hosts that are alike; `plan` tells it too."""
    alike = "parity: required, "
    with hosts.changed(
        "spark-2", EARLYOOM, "kill $(cat /run/oom); rm -f /run/oom /var/tmp/earlyoom"
    ):
        told = "OOM killers none on spark-1; earlyoom on spark-2"
        assert f"warning: tiny: unlike hosts, {told}" in site.orch("plan").stdout
        text = (site.folder / "cluster.yaml").read_text()
        site.write("cluster.yaml", text.replace("gate: {", f"gate: {{{alike}"))
        said = refused(site, 4, "the hosts of tiny are not alike", told)
        assert "gate: {parity: off}" in said.hint
    site.orch("plan")


# --- strangers --------------------------------------------------------------------------------------


def test_a_port_that_a_stranger_has(site: Site, hosts: Hosts) -> None:
    serve = f'setsid python3 -c "{SERVER.format(8000)}" >/dev/null 2>&1 & sleep 1; echo $! >/run/stranger'
    with hosts.changed("spark-1", serve, "kill $(cat /run/stranger)"):
        refused(site, 4, "spark-1", "8000 by python3 (pid ", "another `port:`")


def test_a_container_that_has_our_ranks_name(site: Site, hosts: Hosts) -> None:
    create = "docker create --name orch-t-tiny-1 orch-lab/host-tree:latest true"
    with hosts.changed("spark-2", create, "docker rm orch-t-tiny-1"):
        refused(site, 4, "spark-2", "orch-t-tiny-1", "docker rename")
        site.orch("down")
        assert "created" in hosts.inside("spark-2", "docker inspect orch-t-tiny-1")


# --- networks ---------------------------------------------------------------------------------------


def pinned(site: Site, *subnets: str) -> None:
    link = {"ends": ["spark-1.p1", "spark-2.p1"], "subnets": list(subnets)}
    edit(site, "inventory.yaml", lambda text: text.update(links=[link]))


def test_a_subnet_that_overlaps_the_management_network(site: Site) -> None:
    """The files tell it: no host is asked."""
    network = ".".join(site.lab.address("spark-1").split(".")[:3]) + ".0/24"
    pinned(site, network, "10.99.0.0/24")
    before = Hosts(site.lab).seen()
    failed = site.orch("up", rc=2)
    shown = failed.stdout + failed.stderr
    assert f"{network} overlaps the management network: spark-1" in shown
    assert "inventory.yaml:" in shown
    assert "nothing was touched" in shown
    assert Hosts(site.lab).seen() == before


def test_a_subnet_that_a_host_has_elsewhere(site: Site, hosts: Hosts) -> None:
    """Only the host can tell."""
    there = "ip addr add 10.99.7.5/24 dev eth0"
    with hosts.changed("spark-2", there, "ip addr del 10.99.7.5/24 dev eth0"):
        pinned(site, "10.99.7.0/24", "10.99.8.0/24")
        refused(site, 4, "spark-2", "10.99.7.0/24 of", "overlaps 10.99.7.0/24 on eth0", "subnets:")


def own_netplan(address: str, mtu: int) -> str:
    text = {
        "network": {
            "version": 2,
            "renderer": "networkd",
            "ethernets": {RAILS[0]: {"dhcp4": False, "mtu": mtu, "addresses": [address]}},
        }
    }
    return json.dumps(text)


@contextmanager
def user_file(hosts: Hosts, text: str) -> Iterator[None]:
    """A netplan file of the user's on spark-1, applied."""
    put = f"printf %s '{text}' >/etc/netplan/40-cx7.yaml; chmod 600 /etc/netplan/40-cx7.yaml; netplan apply"
    with hosts.changed("spark-1", put, "rm -f /etc/netplan/40-cx7.yaml; netplan apply"):
        hosts.settled("spark-1")
        yield


def test_a_netplan_file_that_sets_our_interface_otherwise(site: Site, hosts: Hosts) -> None:
    with user_file(hosts, own_netplan("172.31.9.1/24", 1500)):
        refused(
            site, 4, "spark-1", "/etc/netplan/40-cx7.yaml", "172.31.9.1/24", "adopt: [40-cx7.yaml]"
        )
        edit(site, "inventory.yaml", lambda text: text["network"].update(adopt=["40-cx7.yaml"]))
        site.orch("up")  # handed over by name
        assert "172.31.9.1" not in hosts.inside("spark-1", "ip -o addr")
        assert hosts.inside("spark-1", "find / -xdev -name '*40-cx7.yaml*' 2>/dev/null")


def test_a_netplan_file_that_sets_our_interface_as_we_would(site: Site, hosts: Hosts) -> None:
    wanted = yaml.safe_load(rendered_netplan(site))["network"]["ethernets"][RAILS[0]]
    text = own_netplan(wanted["addresses"][0], wanted["mtu"])
    with user_file(hosts, text):
        site.orch("up")
        assert hosts.inside("spark-1", "cat /etc/netplan/40-cx7.yaml") == text
        ours = yaml.safe_load(hosts.inside("spark-1", "cat /etc/netplan/40-orch.yaml"))
        assert RAILS[0] not in ours["network"]["ethernets"]
        assert RAILS[1] in ours["network"]["ethernets"]


def rendered_netplan(site: Site) -> str:
    shown = json.loads(site.orch("render", "--json", "--hosts", "spark-1").stdout)
    return str(shown["hosts"]["spark-1"]["netplan"])


# --- arguments --------------------------------------------------------------------------------------


def test_an_argument_that_vllm_does_not_know(site: Site) -> None:
    """Its own --help is asked, in the image: nothing is started."""
    with_profile(
        site, "extends: lab-vllm-native\nexecutor: mp\nargs: {no-such-flag: 1}\n", "[spark-1]"
    )
    (said,) = complaints(site.events("up", rc=4))
    assert "vllm in orch-lab/host-tree:latest has no --no-such-flag" in said.text
    assert said.host == "spark-1"
    assert site.ranks() == {}


def test_a_value_that_vllm_does_not_take(site: Site) -> None:
    """The container's own words, seconds after it ended, and the gang is gone again."""
    with_profile(
        site, "extends: lab-vllm-native\nexecutor: mp\nargs: {max-num-seqs: many}\n", "[spark-1]"
    )
    events = site.events("up", rc=1)
    (failed,) = complaints(events)
    assert "argument --max-num-seqs: invalid" in failed.text
    assert "ended with code 2" in failed.text
    assert failed.host == "spark-1"
    evidence = Path(events[-1]["data"]["evidence"])
    (log,) = evidence.glob("*.log")
    last = log.read_text().splitlines()[-1]
    assert "argument --max-num-seqs: invalid" in last
    ended = datetime.fromisoformat(last.split(" ")[0]).timestamp()
    told = next(one["at"] for one in events if one["kind"] == "step-failed")
    assert told - ended < SECONDS_TO_TELL
    assert site.ranks() == {}


HOSTILE = {
    "ORCH_A": '"; rm -rf / #',
    "ORCH_B": "$(touch /tmp/pwned) `touch /tmp/pwned`",
    "ORCH_C": "one\ntwo\n\nthree\n",
    "ORCH_D": "'\"'\\''\\n${HOME} $$ %s %n !! ~ * ? [a-z] {a,b} && || ; & | < >",
    "ORCH_E": "grüße 日本語 \u202e🚀\t\u00a0",
    "ORCH_F": " leading and trailing ",
    "ORCH_G": "",
}


def test_text_that_tries_to_break_out_stays_text(site: Site, hosts: Hosts) -> None:
    """In the environment, and in an argument that goes through an entrypoint's shell."""
    name = "".join(HOSTILE[one] for one in ("ORCH_A", "ORCH_B", "ORCH_D", "ORCH_E"))
    profile = {"version": 1, "extends": "lab-llama", "env": HOSTILE, "served_name": name}
    site.write("profiles/own.yaml", yaml.safe_dump(profile, allow_unicode=True))
    text = (site.folder / "cluster.yaml").read_text().replace("lab-llama", "own")
    site.write("cluster.yaml", text)
    site.orch("up")
    ranks = site.ranks()
    assert ranks.keys() == {"spark-1", "spark-2"}
    for host, rank in ranks.items():
        inspected = json.loads(site.lab.run(host, ["docker", "inspect", rank]).stdout)[0]
        env = dict(one.split("=", 1) for one in inspected["Config"]["Env"])
        assert {one: env[one] for one in HOSTILE} == HOSTILE
    line = site.lab.run("spark-1", ["docker", "exec", ranks["spark-1"], "cat", "/proc/1/cmdline"])
    words = line.stdout.split("\0")
    assert words[words.index("--alias") + 1] == name
    assert changed(site.events("up")) == []
    for host in site.lab.hosts:
        assert "pwned" not in hosts.inside(host, "ls /tmp /")
        assert (
            "pwned" not in site.lab.run(host, ["docker", "exec", ranks[host], "ls", "/tmp"]).stdout
        )
