"""SshHosts against a real sshd: keys, jumps, cuts, tunnels, root."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from orchestrator.errors import (
    AuthRefused,
    AuthTimeout,
    ConnectTimeout,
    Fenced,
    FilesWrong,
    HostKeyWrong,
    HttpTimeout,
    Locked,
    NoAnswer,
    OutcomeUnknown,
    ScriptTimeout,
    Unreachable,
)
from orchestrator.framing import Held
from orchestrator.hosts.connect import Opener, Timeouts
from orchestrator.hosts.keys import KnownKeys
from orchestrator.hosts.pool import Pool
from orchestrator.hosts.ssh import SshHosts, _Link
from orchestrator.reply import no_sudo
from orchestrator.script import Command, Request, Script, Sh, secret_mark, sh
from orchestrator.spec.models import SecretRef, Ssh
from tests.sshd.conftest import Servers, Sshd, free_port, keygen, make_host, no_secrets

pytestmark = pytest.mark.sshd

Connect = Callable[..., SshHosts]
HI = Script({"hi": Command(Sh("echo hi"))})
PID = Script({"pid": Command(Sh("echo $PPID"))})


# From a command up to its sshd, past the shells in between.
UP = (
    """p=$$; while read -r _ n _ q _ </proc/$p/stat && [ "$n" != "(sshd)" ] && [ "$p" -gt 1 ]; """
    "do p=$q; done; echo $p"
)


def kill_session(hosts: SshHosts, name: str = "one") -> None:
    """End the server's side of the connection, as a reboot would."""
    os.kill(int(hosts.run(name, Script({"p": Command(Sh(UP))}))["p"].out), 9)


def link_of(hosts: SshHosts, name: str = "one"):  # type: ignore[no-untyped-def]
    return hosts._links[name]


# --- scripts --------------------------------------------------------------------------------


def test_a_script_and_its_results(connect: Connect) -> None:
    data = os.urandom(3_000_000)
    script = Script(
        {
            "out": Command(Sh("echo out; echo err >&2; exit 3")),
            "through": Command(Sh("cat"), stdin=data, keep=4_000_000),
            "long": Command(Sh("seq 1000000 >&2; seq 1000000"), keep=100),
        }
    )
    results = connect().run("one", script)
    assert (results["out"].rc, results["out"].out, results["out"].err) == (3, b"out\n", b"err\n")
    assert results["through"].out == data
    assert results["long"].truncated and results["long"].out.endswith(b"1000000\n")


def test_one_connection_and_one_shell_serve_all_scripts(connect: Connect) -> None:
    hosts = connect()
    shells = {
        hosts.run("one", Script({"p": Command(sh("cat /proc/$PPID/stat"))}))["p"].rc for _ in "abc"
    }
    assert shells == {0}
    link = link_of(hosts)
    assert len(link.idle) == 1
    hosts.run("one", HI)
    assert link_of(hosts) is link and len(link.idle) == 1


def test_scripts_at_once_get_shells_of_their_own_up_to_eight(connect: Connect) -> None:
    hosts = connect()
    slow = Script({"one": Command(Sh("sleep 0.3"))})
    threads = [threading.Thread(target=hosts.run, args=("one", slow)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 2 <= len(link_of(hosts).idle) <= 8


def test_packets_are_not_held_back(connect: Connect) -> None:
    hosts = connect()
    hosts.run("one", HI)
    sock = link_of(hosts).transport.sock
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


def test_fresh_means_a_new_connection(connect: Connect, sshd: Sshd) -> None:
    hosts = connect()
    client = Script({"c": Command(Sh("echo $SSH_CONNECTION"))})
    first = hosts.run("one", client)["c"].out
    assert hosts.run("one", client)["c"].out == first
    fresh = Script(client.commands, fresh=True)
    assert hosts.run("one", fresh)["c"].out != first
    assert hosts.run("one", client)["c"].out == first


def test_a_noisy_slow_login_shell(servers: Servers, tmp_path: Path) -> None:
    rc, log = tmp_path / "rc", tmp_path / "log"
    rc.write_text(
        "echo 'Welcome to this host!'; printf 'no newline'; echo warn >&2; sleep 0.1\n"
        f"echo x >>{log}\n"
    )
    server = servers('ForceCommand bash -c "$SSH_ORIGINAL_COMMAND"\n', f"BASH_ENV={rc}")
    hosts = SshHosts({"one": make_host("one", server.ssh())}, no_secrets)
    try:
        assert hosts.run("one", HI)["hi"].out == b"hi\n"
        paid = log.read_text()
        assert hosts.run("one", HI)["hi"].out == b"hi\n"
        assert log.read_text() == paid  # rc files are paid for once
    finally:
        hosts.close()


@pytest.mark.parametrize("shell", ["zsh", "fish", "bash", "dash"])
def test_other_login_shells(servers: Servers, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    server = servers(f'ForceCommand {shell} -c "$SSH_ORIGINAL_COMMAND"\n')
    hosts = SshHosts({"one": make_host("one", server.ssh())}, no_secrets)
    try:
        assert hosts.run("one", HI)["hi"].out == b"hi\n"
    finally:
        hosts.close()


def test_secrets_are_put_in_as_they_are_sent(connect: Connect) -> None:
    mark = secret_mark("vl/HF_TOKEN").encode()
    command = Command(
        Sh("cat; tr '\\0' ' ' </proc/$PPID/cmdline"), stdin=b"token: " + mark + b"\xff\n"
    )
    script = Script({"one": command})
    hosts = connect(secrets={"vl/HF_TOKEN": "hf_ünïque"}.__getitem__)
    out = hosts.run("one", script)["one"].out
    assert (
        out.startswith("token: hf_ünïque".encode() + b"\xff\n")
        and out.count("hf_ünïque".encode()) == 1
    )
    assert b"hf_" not in repr(script).encode() and mark in script.commands["one"].stdin


# --- cannot connect -------------------------------------------------------------------------


def refused(hosts: SshHosts, name: str = "one") -> Exception:
    with pytest.raises(Unreachable) as caught:
        hosts.run(name, HI)
    assert caught.value.host == name and caught.value.exit_code == 3
    return caught.value


def test_another_host_key_is_never_accepted(sshd: Sshd, connect: Connect, tmp_path: Path) -> None:
    other = keygen(tmp_path / "other")
    for accept in (False, True):
        hosts = connect(make_host("one", sshd.ssh(host_key=other)), accept_new_host_keys=accept)
        error = refused(hosts)
        assert isinstance(error, HostKeyWrong) and "SHA256:" in str(error)


def test_an_unknown_host_key_is_refused_with_its_fingerprint(
    sshd: Sshd, connect: Connect, tmp_path: Path
) -> None:
    known = tmp_path / "deep" / "known_hosts"
    host = make_host("one", sshd.ssh(host_key=None, known_hosts=str(known)))
    error = refused(connect(host))
    assert isinstance(error, HostKeyWrong) and "--accept-new-host-keys" in error.hint
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(sshd.folder / "host_key.pub")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[1]
    assert shown in str(error)
    assert connect(host, accept_new_host_keys=True).run("one", HI)["hi"].rc == 0
    assert connect(host).run("one", HI)["hi"].rc == 0  # it is known from now on
    assert known.read_text().startswith(f"[127.0.0.1]:{sshd.port} ssh-ed25519 ")


def test_hashed_known_hosts(sshd: Sshd, connect: Connect, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(
        f"# comment\n@revoked x y\nbad line\n[127.0.0.1]:{sshd.port} {sshd.host_key}\n"
    )
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], capture_output=True, check=False)
    host = make_host("one", sshd.ssh(host_key=None, known_hosts=str(known)))
    assert connect(host).run("one", HI)["hi"].rc == 0


def test_a_pin_that_is_no_key(sshd: Sshd, connect: Connect) -> None:
    with pytest.raises(FilesWrong, match="host_key"):
        connect(make_host("one", sshd.ssh(host_key="nonsense"))).run("one", HI)


def test_a_refused_key(sshd: Sshd, connect: Connect, tmp_path: Path) -> None:
    keygen(tmp_path / "stranger")
    error = refused(connect(make_host("one", sshd.ssh(key=str(tmp_path / "stranger")))))
    assert isinstance(error, AuthRefused) and "refused the keys" in str(error)


def test_a_key_with_a_passphrase(sshd: Sshd, connect: Connect, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(key)], check=True
    )
    error = refused(connect(make_host("one", sshd.ssh(key=str(key)))))
    assert isinstance(error, AuthRefused) and "passphrase" in str(error)


def test_a_missing_key_file(sshd: Sshd, connect: Connect) -> None:
    error = refused(connect(make_host("one", sshd.ssh(key="/nowhere/key"))))
    assert "/nowhere/key does not exist" in str(error)


def test_a_closed_port_and_a_name_that_does_not_exist(sshd: Sshd, connect: Connect) -> None:
    assert "refused the connection" in str(
        refused(connect(make_host("one", sshd.ssh(port=free_port()))))
    )
    error = refused(connect(make_host("one", sshd.ssh(), address="no-such-host.invalid")))
    assert "can't be resolved" in str(error)


def test_a_port_that_takes_connections_and_says_nothing(sshd: Sshd, connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        opener = Opener(KnownKeys(), Timeouts(connect=1, banner=1))
        error = refused(connect(make_host("one", sshd.ssh(port=port)), opener=opener))
    assert isinstance(error, AuthTimeout) and "no SSH server answered" in str(error)


def test_a_port_that_is_no_ssh(sshd: Sshd, connect: Connect, web: int) -> None:
    assert "no SSH session" in str(refused(connect(make_host("one", sshd.ssh(port=web)))))


def test_no_answer_at_all(sshd: Sshd, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", never)
    error = refused(connect())
    assert isinstance(error, ConnectTimeout) and "did not answer in 10 s" in str(error)


def test_a_host_that_is_not_in_the_inventory(connect: Connect) -> None:
    with pytest.raises(FilesWrong):
        connect().run("two", HI)


# --- ssh config and jumps -------------------------------------------------------------------


def test_the_ssh_config_is_honoured(sshd: Sshd, connect: Connect, tmp_path: Path) -> None:
    config = tmp_path / "config"
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
    user = sshd.ssh().user
    config.write_text(
        f"Host box\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {user}\n"
        f"  IdentityFile {sshd.key}\n  UserKnownHostsFile {known}\n"
    )
    host = make_host("one", Ssh(config=str(config)), address="box")
    assert connect(host).run("one", HI)["hi"].rc == 0


def test_through_a_jump_host_of_the_inventory(
    sshd: Sshd, connect: Connect, servers: Servers
) -> None:
    far = servers()
    hosts = connect(make_host("jump", sshd.ssh()), make_host("far", far.ssh(jump="jump")))
    assert hosts.run("far", HI)["hi"].out == b"hi\n"
    assert hosts.run("jump", HI)["hi"].out == b"hi\n"
    assert set(hosts._links) == {"jump", "far"}
    far.stop()
    kill_session(hosts, "far")
    error = refused(hosts, "far")
    assert "jump host can't reach" in str(error)


def test_a_jump_host_that_is_down(sshd: Sshd, connect: Connect) -> None:
    hosts = connect(
        make_host("jump", sshd.ssh(port=free_port())), make_host("far", sshd.ssh(jump="jump"))
    )
    assert "its jump host jump" in str(refused(hosts, "far"))


def test_jumps_in_a_circle(sshd: Sshd, connect: Connect) -> None:
    for circle in (("one", "one"), ("one", "two", "one")):
        hosts = {a: make_host(a, sshd.ssh(jump=b)) for a, b in pairwise(circle)}
        with pytest.raises(FilesWrong, match="circle"):
            connect(*hosts.values()).run("one", HI)


def test_a_jump_host_that_only_ssh_knows(
    sshd: Sshd, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys and its known_hosts are those of the account, as for `ssh -J`."""
    own = tmp_path / ".ssh"
    own.mkdir()
    shutil.copy(sshd.key, own / "id_ed25519")
    (own / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    jump = f"{sshd.ssh().user}@127.0.0.1:{sshd.port}"
    assert connect(make_host("far", sshd.ssh(jump=jump))).run("far", HI)["hi"].rc == 0


# --- lost connections -----------------------------------------------------------------------


def test_a_dead_pooled_connection_is_opened_again_once(connect: Connect) -> None:
    hosts = connect()
    kill_session(hosts)
    assert hosts.run("one", HI)["hi"].out == b"hi\n"


def test_a_dead_pooled_connection_does_not_lose_a_change(connect: Connect, tmp_path: Path) -> None:
    effect = tmp_path / "effect"
    script = Script({"one": Command(sh("echo x >>{}", str(effect)))}, mutates=True)
    hosts = connect(held={})
    kill_session(hosts)
    link_of(hosts).transport.join(5)  # it was noticed that nobody is there
    assert hosts.run("one", script)["one"].rc == 0
    assert effect.read_text() == "x\n"


def test_a_connection_lost_in_a_change_is_never_repeated(connect: Connect, tmp_path: Path) -> None:
    effect, go_on = tmp_path / "effect", tmp_path / "go_on"
    os.mkfifo(go_on)
    script = Script(
        {
            "first": Command(sh("echo x >>{}", str(effect))),
            "lost": Command(Sh(f"kill -9 $({UP}); cat {go_on} >/dev/null")),
            "last": Command(sh("echo last >>{}", str(effect))),
        },
        mutates=True,
    )
    after = Script({"after": Command(sh("cat {}", str(effect)))}, mutates=True)
    hosts = connect(held={})
    with pytest.raises(OutcomeUnknown) as caught:
        hosts.run("one", script)
    assert caught.value.results["first"].rc == 0 and caught.value.host == "one"
    with go_on.open("w"), pytest.raises(Locked):  # the ghost still holds the lock …
        connect(held={}, lock_wait=0).run("one", after)
    assert hosts.run("one", after)["after"].out == b"x\nlast\n"  # … to its end


def test_a_reader_is_repeated_once(connect: Connect, tmp_path: Path) -> None:
    log = tmp_path / "log"
    once = Sh(f"echo x >>{log}; [ $(wc -l <{log}) -gt 1 ] || kill -9 $({UP}); echo done")
    hosts = connect()
    assert hosts.run("one", Script({"a": Command(once)}))["a"].out == b"done\n"
    always = Sh(f"kill -9 $({UP}); sleep 1")
    with pytest.raises(OutcomeUnknown):
        hosts.run("one", Script({"a": Command(always)}))


def test_a_frozen_script_is_given_up(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = connect()
    hosts.run("one", HI)
    monkeypatch.setattr("orchestrator.reply.Reply.patience", lambda self: 1.5)
    with pytest.raises(ScriptTimeout) as caught:
        hosts.run(
            "one", Script({"a": Command(Sh("true")), "b": Command(Sh("sleep 4"), timeout=900)})
        )
    assert set(caught.value.results) == {"a"}
    monkeypatch.undo()
    assert hosts.run("one", HI)["hi"].rc == 0


@pytest.fixture
def frozen(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """A server that takes connections and says nothing."""
    monkeypatch.setattr("orchestrator.hosts.shell.GLANCE", 0.2)
    monkeypatch.setattr("orchestrator.hosts.ssh.ANSWERS_IN", 0.5)
    server = servers()
    assert server.process is not None
    yield server
    server.process.send_signal(signal.SIGCONT)


def freeze(server: Sshd) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize("mutates", [False, True])
def test_a_host_that_freezes_is_told_soon(frozen: Sshd, connect: Connect, mutates: bool) -> None:
    opener = Opener(KnownKeys(), Timeouts(banner=1))
    hosts = connect(make_host("one", frozen.ssh()), held={}, opener=opener)
    session = hosts.run("one", Script({"p": Command(Sh(UP))}))["p"].text.strip()
    freeze(frozen)
    stop = Command(sh("kill -STOP {}; sleep 9", session))
    try:
        with pytest.raises(OutcomeUnknown if mutates else AuthTimeout) as caught:
            hosts.run("one", Script({"hi": HI.commands["hi"], "stop": stop}, mutates=mutates))
    finally:
        os.kill(int(session), signal.SIGKILL)
    assert re.search(r"its sshd has said nothing since \d\d:\d\d:\d\d", str(caught.value))
    with pytest.raises(AuthTimeout, match=r"^one: .* no SSH server answered in 1 s") as told:
        hosts.run("one", HI)
    assert told.value.exit_code == 3
    assert f"ssh -p {frozen.port}" in told.value.hint


def test_who_waits_for_a_connection_fails_with_it(frozen: Sshd, connect: Connect) -> None:
    """Not one after the other, each after a time-out of its own."""
    opener = Opener(KnownKeys(), Timeouts(banner=1))
    hosts = connect(make_host("one", frozen.ssh()), opener=opener)
    freeze(frozen)
    errors: list[Exception] = []

    def ask() -> None:
        try:
            hosts.run("one", HI)
        except Unreachable as error:
            errors.append(error)

    began = time.monotonic()
    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 5
    assert time.monotonic() - began < 3


def test_a_script_that_says_nothing_for_long_is_waited_for(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.hosts.shell.GLANCE", 0.1)
    said: list[bool] = []
    answers = _Link.answers

    def listening(link: _Link) -> bool:
        said.append(answers(link))
        return said[-1]

    monkeypatch.setattr(_Link, "answers", listening)
    assert connect().run("one", Script({"a": Command(Sh("sleep 0.5"))}))["a"].rc == 0
    assert set(said) == {True}


def test_closing_ends_what_others_wait_for(connect: Connect) -> None:
    hosts = connect()
    hosts.run("one", HI)
    errors: list[Exception] = []

    def wait() -> None:
        try:
            hosts.run("one", Script({"a": Command(Sh("sleep 30"))}))
        except (OutcomeUnknown, Unreachable) as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.2)
    hosts.close()
    thread.join(5)
    assert len(errors) == 1
    with pytest.raises(Unreachable):
        hosts.run("one", HI)


# --- leases, root ---------------------------------------------------------------------------


def test_a_token_fences(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "lease").write_text("token t\nsince 1\nuntil 2\nowner ann@desk\nrun 7\n")
    held = {"one": Held("t", str(tmp_path))}
    hosts = connect(held=held)
    change = Script({"x": Command(Sh("echo x"))}, mutates=True)
    assert hosts.run("one", change)["x"].rc == 0
    held["one"] = Held("old", str(tmp_path))
    with pytest.raises(Fenced, match="ann@desk") as caught:
        hosts.run("one", change)
    assert caught.value.host == "one" and caught.value.exit_code == 5


@pytest.fixture
def fake_root(tmp_path: Path) -> Path:
    """A PATH on which this account is 1000, and sudo the real one where there is one."""
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    if shutil.which("sudo") is None:
        (tmp_path / "sudo").write_text(
            '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n'
        )
        (tmp_path / "sudo").chmod(0o755)
    return tmp_path


def test_sudo(servers: Servers, fake_root: Path) -> None:
    server = servers(env=f"PATH={fake_root}:{os.environ['PATH']}")
    host = make_host("one", server.ssh())
    hosts = SshHosts({"one": host}, no_secrets)
    script = Script({"r": Command(Sh("cat; echo $PATH; exit 5"), stdin=b"in\n", sudo=True)})
    try:
        result = hosts.run("one", script)["r"]
        assert (result.rc, result.out.splitlines()[0]) == (5, b"in")
        assert b"/usr/sbin" in result.out
    finally:
        hosts.close()


def test_a_sudo_password_comes_from_a_secret(servers: Servers, tmp_path: Path) -> None:
    shim = tmp_path / "sudo"
    shim.write_text(
        '#!/bin/bash\nwhile [ "$1" != -- ]; do shift; done; shift\nread -r p; [ "$p" = pw1 ] || exit 1\nexec "$@"\n'
    )
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    for name in ("sudo", "id"):
        (tmp_path / name).chmod(0o755)
    server = servers(env=f"PATH={tmp_path}:{os.environ['PATH']}")
    host = make_host("one", server.ssh(), become_password=SecretRef(env="X"))
    script = Script({"r": Command(Sh("cat"), stdin=b"in\n", sudo=True)})
    for password, fine in (("pw1", True), ("pw2", False)):
        hosts = SshHosts({"one": host}, {"become/one": password}.__getitem__)
        try:
            result = hosts.run("one", script)["r"]
            assert no_sudo(result) is not fine and (result.out == b"in\n") is fine
        finally:
            hosts.close()


# --- http -----------------------------------------------------------------------------------


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(3):
                self._chunk(f"data: {number}\n\n".encode())
                self.server.gate.wait(10)  # type: ignore[attr-defined]
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"ten bytes!")
            self.close_connection = True
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.close_connection = True
        elif self.path == "/silent":
            self.server.gate.wait(3)  # type: ignore[attr-defined]
        else:
            self._whole(
                404 if self.path == "/missing" else 200,
                self.headers.get("Authorization", "").encode(),
            )

    def do_POST(self) -> None:
        self._whole(200, self.rfile.read(int(self.headers["Content-Length"])))

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _whole(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    made.gate = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.gate.set()  # type: ignore[attr-defined]
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def web(server: http.server.ThreadingHTTPServer) -> int:
    return int(server.server_address[1])


def ways(connect: Connect) -> Mapping[str, Pool | SshHosts]:
    local = make_host("one", Ssh(), address="local")
    return {"ssh": connect(), "local": Pool({"one": local}, no_secrets)}


@pytest.fixture(params=["ssh", "local"])
def way(request: pytest.FixtureRequest, connect: Connect) -> Pool | SshHosts:
    return ways(connect)[request.param]


def test_http_through_the_connection(way: Pool | SshHosts, web: int) -> None:
    assert way.http("one", Request(web, "/missing")).status == 404
    stream = way.http("one", Request(web, "/x", headers=(("Authorization", "Bearer y"),)))
    assert (stream.status, stream.read()) == (200, b"Bearer y")
    body = b'{"a": "' + b"x" * 300_000 + b'"}'
    assert way.http("one", Request(web, "/x", body=body)).read() == body


def test_events_come_as_they_are_sent(
    way: Pool | SshHosts, server: http.server.ThreadingHTTPServer, web: int
) -> None:
    lines = way.http("one", Request(web, "/stream", timeout=10)).lines()
    assert next(lines) == "data: 0"  # the server waits before it sends the second
    server.gate.set()  # type: ignore[attr-defined]
    assert [line for line in lines if line] == ["data: 1", "data: 2", "data: [DONE]"]


def test_no_http(way: Pool | SshHosts, web: int) -> None:
    with pytest.raises(NoAnswer, match="nothing listens"):
        way.http("one", Request(free_port(), "/x"))
    with pytest.raises(HttpTimeout, match="said nothing"):
        way.http("one", Request(web, "/silent", timeout=0.3))
    with pytest.raises(NoAnswer, match="too early"):
        way.http("one", Request(web, "/short")).read()
    with pytest.raises(NoAnswer, match="in the middle of its answer"):
        way.http("one", Request(web, "/cut")).read()


def test_a_port_that_does_not_speak_http(way: Pool | SshHosts, sshd: Sshd) -> None:
    with pytest.raises(NoAnswer, match="no HTTP answer"):
        way.http("one", Request(sshd.port, "/x", timeout=3)).read()


def test_http_where_forwarding_is_off(servers: Servers, connect: Connect, web: int) -> None:
    hosts = connect(make_host("one", servers("AllowTcpForwarding no\n").ssh()))
    with pytest.raises(NoAnswer, match="forwarding") as caught:
        hosts.http("one", Request(web, "/x"))
    assert "AllowTcpForwarding" in caught.value.hint


def test_http_after_the_connection_died(connect: Connect, web: int) -> None:
    hosts = connect()
    kill_session(hosts)
    assert hosts.http("one", Request(web, "/x")).status == 200


# --- many -----------------------------------------------------------------------------------


def test_many_hosts_at_once_each_with_its_own_outcome(sshd: Sshd, keys: tuple[Path, str]) -> None:
    hosts = {f"h{i}": make_host(f"h{i}", sshd.ssh()) for i in range(20)}
    hosts["down"] = make_host("down", sshd.ssh(port=free_port()))
    hosts["here"] = make_host("here", Ssh(), address="local")
    with Pool(hosts, no_secrets) as pool:
        outcomes = dict(pool.run_all(dict.fromkeys(hosts, HI)))
    assert list(outcomes) == list(hosts)
    assert isinstance(outcomes.pop("down"), Unreachable)
    assert all(
        not isinstance(one, Exception) and one["hi"].out == b"hi\n" for one in outcomes.values()
    )


def test_the_pool_imports_paramiko_only_for_ssh() -> None:
    code = "import sys, orchestrator.hosts.pool; print('paramiko' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
