"""Which of the image's programs measures NCCL: nccl-tests where every rank has it with Open MPI 4, else torch.

nccl-tests joins hosts by MPI alone. mpirun starts a daemon on each host through an agent, by default ssh; here
the agent hands the daemon's line to the rank that waits there, so that no image needs sshd, and no host a key.
Called with the collective, its bytes, and nccl-tests' own words.
"""

import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PATIENCE_S = 60  # until all ranks are there
HELLO_S = 5
TEST_S = 200
PLACES = (  # where images have them, if not on the PATH
    *("/opt/nccl-tests/build", "/opt/nccl_tests/build", "/workspace/nccl-tests/build"),
    *("/usr/local/mpi/bin", "/opt/hpcx/ompi/bin", "/opt/amazon/openmpi/bin"),
)
AGENT = """#!{python}
import json, socket, sys
with socket.socket(socket.AF_UNIX) as to:
    to.connect({socket!r})
    with to.makefile("rw") as both:
        print(json.dumps([sys.argv[1], " ".join(sys.argv[2:])]), file=both, flush=True)
        sys.exit(json.loads(both.readline() or "1"))
"""


def lacking(test, hosts):
    """Why nccl-tests can't be used here; "" where it can."""
    if not network(hosts):
        return "the hosts' addresses are not IPv4"
    perf = shutil.which(test)
    if perf is None:
        return f"there is no {test}"
    if b"libmpi.so" not in Path(perf).read_bytes():
        return f"{test} was built without MPI"
    if not shutil.which("mpirun") or not shutil.which("orted"):
        return "there is no Open MPI 4"
    return ""


def network(hosts):
    """The smallest one that all are in, as Open MPI takes it: it must not try bridges that hosts have alike."""
    try:
        addresses = [ipaddress.IPv4Address(host) for host in hosts]
    except ValueError:
        return None
    around = ipaddress.IPv4Network(f"{hosts[0]}/24", strict=False)
    while not all(one in around for one in addresses):
        around = around.supernet()
    return around


def tell(peer, what):
    print(json.dumps(what), file=peer, flush=True)


def heard(peer):
    line = peer.readline()
    return json.loads(line) if line else None


class Head:
    """Rank 0: hears what the others have, decides, and starts mpirun."""

    def __init__(self, hosts, port, run):
        self.hosts, self.port, self.run = hosts, port, run
        self.peers = {}

    def gather(self):
        """Rank → why it can't use nccl-tests."""
        lacks = {}
        with socket.create_server(("", self.port)) as server:
            server.settimeout(PATIENCE_S)
            while len(lacks) < len(self.hosts) - 1:
                try:
                    one = server.accept()[0]
                except TimeoutError:
                    missing = set(range(1, len(self.hosts))) - lacks.keys()
                    sys.exit(f"no word from rank {sorted(missing)} within {PATIENCE_S} s")
                lacks.update(self.hello(one))
        return lacks

    def hello(self, one):
        """Nothing of who is no rank of this run."""
        try:
            one.settimeout(HELLO_S)
            peer = one.makefile("rw")
            said = heard(peer)
            if said["run"] != self.run:
                return {}
            self.peers[self.hosts[said["rank"]]] = peer
            one.settimeout(PATIENCE_S + TEST_S)
            return {said["rank"]: said["lacks"]}
        except (OSError, ValueError, TypeError, LookupError):
            return {}

    def mpirun(self, words):
        """Its exit code; 124 where it took too long."""
        folder = Path(tempfile.mkdtemp())
        agent, path = folder / "agent", folder / "socket"
        agent.write_text(AGENT.format(python=sys.executable, socket=str(path)))
        agent.chmod(0o700)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen()
        threading.Thread(target=self.relays, args=(server,), daemon=True).start()
        include = network(self.hosts)
        settings = {
            "plm": "rsh",
            "plm_rsh_agent": agent,
            "plm_rsh_no_tree_spawn": 1,
            "orte_leave_session_attached": 1,
            "oob_tcp_if_include": include,
            "btl_tcp_if_include": include,
            "pml": "ob1",
            "btl": "tcp,self",
        }
        argv = [shutil.which("mpirun"), "--allow-run-as-root", "--bind-to", "none"]
        argv += ["-np", len(self.hosts), "--host", ",".join(f"{host}:1" for host in self.hosts)]
        argv += [word for name, value in settings.items() for word in ("--mca", name, value)]
        argv += [shutil.which(words[0]), *words[1:]]
        try:
            return subprocess.run([str(word) for word in argv], timeout=TEST_S).returncode
        except subprocess.TimeoutExpired:
            return 124

    def relays(self, server):
        while True:
            one = server.accept()[0]
            threading.Thread(target=self.relay, args=(one,), daemon=True).start()

    def relay(self, agent):
        """A daemon's line to the rank that is to run it, and its exit code back."""
        with agent, agent.makefile("rw") as asking:
            host, line = heard(asking)
            peer = self.peers[host]
            tell(peer, {"line": line})
            tell(asking, heard(peer))


def joined(head, port, run, rank, lacks):
    """The line to rank 0, which may start later."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            peer = socket.create_connection((head, port), timeout=HELLO_S)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
        else:
            peer.settimeout(PATIENCE_S + TEST_S)
            both = peer.makefile("rw")
            tell(both, {"run": run, "rank": rank, "lacks": lacks})
            return both


def follow(peer):
    """Whether nccl-tests was used; this rank ran what it was told."""
    while (said := heard(peer)) and "line" in said:
        tell(peer, subprocess.run(["sh", "-c", said["line"]]).returncode)
    return said is None


def main():
    collective, size, *words = sys.argv[1:]
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *PLACES])
    hosts, run = os.environ["ORCH_HOSTS"].split(","), os.environ["ORCH_RUN"]
    rank, lacks = int(os.environ["RANK"]), lacking(words[0], hosts)
    port = int(os.environ["MASTER_PORT"]) + 1
    if rank:
        if follow(joined(hosts[0], port, run, rank, lacks)):
            return
    else:
        head = Head(hosts, port, run)
        each = {0: lacks, **head.gather()}
        if not any(each.values()):
            sys.exit(head.mpirun(words))
        for peer in head.peers.values():
            tell(peer, {"use": "torch"})
        why = "; ".join(f"rank {one}: {what}" for one, what in sorted(each.items()) if what)
        sys.stdout.write(f"# not nccl-tests: {why}\n")
        sys.stdout.flush()
    torch = str(Path(__file__).with_name("nccl_test.py"))
    os.execv(sys.executable, [sys.executable, torch, collective, size])  # noqa: S606


main()
