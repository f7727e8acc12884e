"""Lines as engines wrote them in the lab and in the field notes, and what the display makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.tidy import telling, tidy

CAPTURED = Path(__file__).parents[1] / "captured"
LINES = {
    "orch: barrier: 1 of 2 nodes; spark-2 (10.20.0.11) has not joined": (
        "barrier: 1 of 2 nodes; spark-2 (10.20.0.11) has not joined"
    ),
    "2026-11-21 11:59:30,068\tWARNING authentication_token_setup.py:73 -- Token is disabled": (
        "warning: Token is disabled"
    ),
    "2026-11-21 12:00:35,113 INFO node.py:438 -- Failed to get node info b'RPC error'": (
        "Failed to get node info b'RPC error'"
    ),
    "(EngineCore pid=370) INFO 11-21 12:13:45 [ray_utils.py:607] No current placement group": (
        "No current placement group"
    ),
    "(APIServer pid=260) WARNING 11-21 12:12:36 [system_utils.py:255] Found ulimit of 20000": (
        "warning: Found ulimit of 20000"
    ),
    "(EngineCore pid=276) (RayWorkerWrapper pid=88, ip=10.20.0.11) ERROR 11-21 12:12:36 [a.py:1] x": (
        "error: x"
    ),
    "[2026-11-21 12:11:43,110 W 14 14] rpc_client.h:153: Failed to connect to GCS": (
        "warning: Failed to connect to GCS"
    ),
    "[2026-11-21 12:11:43,110 I 14 14] (raylet) main.cc:12: started": "started",
    "(raylet) [2026-11-27 02:10:49,648 E 108 108] (raylet) main.cc:1108: Failed to connect": (
        "error: Failed to connect"
    ),
    "(raylet) a line of its own": "(raylet) a line of its own",
    "W1121 12:12:35.494000 260 torch/_library/triton.py:53] Triton not available": (
        "warning: Triton not available"
    ),
    "(RayWorkerProc pid=247) [W1121 12:16:46.118252692 socket.cpp:207] [c10d] The hostname": (
        "warning: [c10d] The hostname"
    ),
    "INFO:     Application startup complete.": "INFO:     Application startup complete.",
    "(EngineCore pid=7) Loading safetensors checkpoint shards:  40% | 2/5 [00:01<00:02]": (
        "Loading safetensors checkpoint shards:  40% | 2/5 [00:01<00:02]"
    ),
    "srv    load_model: loading model '/models/tiny.gguf'": (
        "srv    load_model: loading model '/models/tiny.gguf'"
    ),
    "12:13:14": "12:13:14",
    "(RayWorkerProc pid=240)": "",
    "": "",
}


@pytest.mark.parametrize("line", LINES)
def test_what_is_left_is_what_was_said(line: str) -> None:
    assert tidy(line) == LINES[line]


@given(st.text(max_size=80))
def test_a_line_is_only_lost_if_it_said_nothing(line: str) -> None:
    assert tidy(f"x{line}") != ""


TRACEBACK = """\
    return cut(here)
2026-11-21 12:00:35,117\tINFO usage_lib.py:448 -- Usage stats collection is disabled.
Traceback (most recent call last):
  File "/opt/bin/ray", line 13, in <module>
    sys.exit(main())
             ^^^^^^
  File "/opt/ray/_private/node.py", line 440, in __init__
    raise Exception(
Exception: The current node timed out during startup.
(APIServer pid=1) ERROR 11-21 12:12:36 [core.py:5] Traceback (most recent call last):
(APIServer pid=1) ERROR 11-21 12:12:36 [core.py:5]   File "/x/core.py", line 3, in run
(APIServer pid=1) ERROR 11-21 12:12:36 [core.py:5]     self.go()
(APIServer pid=1) ERROR 11-21 12:12:36 [core.py:5] ValueError: Free memory on device is less

orch: Ray's head node ended before the gang was complete
orch: Ray's head node ended before the gang was complete
"""


def test_of_a_traceback_the_error_is_told() -> None:
    assert telling(TRACEBACK.splitlines(), 12) == [
        "Usage stats collection is disabled.",
        "Exception: The current node timed out during startup.",
        "error: ValueError: Free memory on device is less",
        "Ray's head node ended before the gang was complete",
    ]
    assert telling(TRACEBACK.splitlines(), 1) == [
        "Ray's head node ended before the gang was complete"
    ]
    assert telling([], 3) == []


def test_the_stack_of_a_program_that_is_ended_is_not_what_it_said() -> None:
    """Ray's head when its gang's engine has failed."""
    lines = (CAPTURED / "gpu/h200_vllm_ray_head.log").read_text().splitlines()
    found = telling(lines[-40:], 12)
    assert found[-2].startswith("the engine ended with code 1")
    assert not any("@" in line or "***" in line for line in found)
