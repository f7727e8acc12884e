"""What a measurement left is read whole or not at all; who listens is told by the kernel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import Unknown
from orchestrator.facts.accepting import ReadAccepting
from orchestrator.facts.fabric_left import Left, ReadLeft
from orchestrator.rdma.answers import Effort
from orchestrator.script import Result

TEXT = """orch-fabric 1
run 20260101T000000-abcd
test l/h1/a>b/bandwidth/alone
way rdma
effort 5 65536 4
argv ib_write_bw -R -d rocep1s0f1
stands a kernel\t6.11
at 1767225600
rc 0
before infiniband/rocep1s0f1/ports/1/counters/port_xmit_data 100
before net/enp1s0f1np1/statistics/rx_bytes 7
after infiniband/rocep1s0f1/ports/1/counters/port_xmit_data 250
after net/enp1s0f1np1/statistics/rx_bytes 5
out  #bytes     #iterations
out
err
end
"""


def read(text: str, rc: int = 0) -> Left | None:
    return ReadLeft("k", sudo=False).parse({"left": Result(rc, text.encode(), b"", 0.0)})


def test_all_of_it() -> None:
    left = read(TEXT)
    assert left is not None
    assert (left.run, left.at, left.way, left.effort) == (
        "20260101T000000-abcd",
        1767225600,
        "rdma",
        Effort(5, 65536, 4),
    )
    assert left.said.rc == 0
    assert left.said.out == " #bytes     #iterations\n\n"
    assert left.said.argv[0] == "ib_write_bw"
    assert left.fingerprint == {"a kernel": "6.11"}
    assert left.moved("infiniband/rocep1s0f1/ports/1/counters/port_xmit_data") == 150
    assert left.moved("net/enp1s0f1np1/statistics/rx_bytes") is None  # it ran backwards: a reset
    assert left.moved("nothing") is None


def test_nothing_there_is_none() -> None:
    assert read("absent\n") is None


@given(st.integers(0, len(TEXT) - 2))
def test_a_cut_one_is_never_a_result(at: int) -> None:
    with pytest.raises(Unknown):
        read(TEXT[:at])


@given(st.integers(0, len(TEXT) - 1), st.characters(codec="utf-8"))
def test_a_garbled_one_never_ends_in_a_traceback(at: int, by: str) -> None:
    try:
        read(TEXT[:at] + by + TEXT[at + 1 :])
    except Unknown:
        return


CAPTURED = (
    '[{"ifindex":0,"ifname":"rocep1s0f1","cm-idn":60,"state":"LISTEN","ps":"TCP","pid":685,'
    '"comm":"ib_write_bw","src-addr":"0.0.0.0:18515"},{"ifname":"x","state":"CONNECT","ps":"TCP"}]'
)  # captured/rdma/21_server_ready.txt, and one that does not listen
SOCKETS = """LISTEN 0      4096               *:18516            *:*
LISTEN 0      128          0.0.0.0:22          0.0.0.0:*
"""


def accepting(text: str) -> frozenset[tuple[str, int]]:
    return ReadAccepting(False).parse({"accepting": Result(0, text.encode(), b"", 0.0)})


def test_listeners_of_both_kinds() -> None:
    found = accepting(f"@cm\n{CAPTURED}\n\n@tcp\n{SOCKETS}end\n")
    assert found == {("rdma", 18515), ("tcp", 18516), ("tcp", 22)}
    assert accepting("@cm\n@tcp\nend\n") == frozenset()


@pytest.mark.parametrize(
    "text", ["", "@cm\n@tcp\n", "@cm\n{\n@tcp\nend\n", "@cm\n@tcp\nESTAB 1\nend\n"]
)
def test_listeners_that_cannot_be_read_are_not_none(text: str) -> None:
    with pytest.raises(Unknown):
        accepting(text)
