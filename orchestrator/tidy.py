"""Why here: programs put clock, level, file and process before what they say; the display has its own clock."""

from __future__ import annotations

import re
from collections.abc import Iterable

OWN = "orch: "  # what our entrypoints put before their lines
_PROCESS = r"(?:\([\w.-]+ pid=\d+[^)]*\)\s*)*"  # vLLM's and Ray's, several in a row
_CLOCK = r"(?:(?:\d{4}[-/])?\d\d[-/]\d\d[ T])?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_LEVEL = r"(?:DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)"
_PLACE = r"\[?[\w./-]+\.(?:py|h|cc|cpp):\d+(?:\]|:| --)?"
_HEADS = (
    # [2026-11-21 12:11:43,110 W 14 14] (raylet) rpc_client.h:153: text
    rf"\[{_CLOCK} (?P<level>[DIWEC])(?: \d+)+\]\s+(?:\(\w+\)\s+)?(?:{_PLACE}\s+)?",
    # INFO 11-21 12:13:16 [core.py:77] text · 2026-11-21 11:59:30,068 WARNING node.py:438 -- text
    rf"(?:\[?(?P<level>{_LEVEL})\]?:?\s+)?\[?{_CLOCK}\]?(?:\s+\[?(?P<after>{_LEVEL})\]?:?)?"
    rf"(?:\s+{_PLACE})?(?:\s|:)+",
    # W1121 12:12:35.494000 260 torch/_library/triton.py:53] text · [W1121 12:16:46.118252692 socket.cpp:207] text
    rf"\[?(?P<level>[IWEF])\d{{4}} {_CLOCK}(?:\s+\d+)? {_PLACE}\s+",
)
_PATTERNS = tuple(re.compile(rf"\A{_PROCESS}(?:\(\w+\) )?{head}") for head in _HEADS)
_PROCESSES = re.compile(rf"\A{_PROCESS}")
_SHOWN = {"W": "warning: ", "E": "error: ", "C": "error: ", "F": "error: "}  # by first letter


def tidy(line: str) -> str:
    """What a program said, without when, where in its source, and which of its processes; a warning stays one."""
    text = line.strip().removeprefix(OWN)
    for pattern in _PATTERNS:
        head = pattern.match(text)
        if head is not None and head.end() < len(text):
            found = head.groupdict()
            level = found.get("level") or found.get("after") or ""
            return _SHOWN.get(level[:1], "") + text[head.end() :]
    return _PROCESSES.sub("", text, count=1)


_FRAME = re.compile(r'\A(?:error: )?File "[^"]+", line \d+')
# of C++, and what Ray's programs say when they are ended
_STACK = re.compile(r"\A(?:error: )?(?:(?:PC: )?@ +0x[0-9a-f]+\s|\*\*\* SIGTERM received )")
_ERROR = re.compile(r"\A(?:error: )?[\w.]+(?:Error|Exception|Exit|Interrupt)\b")
_INDENTED = re.compile(r"\s{4}")  # source in a traceback, or a usage text's further lines
_EMPTY = re.compile(
    r"\A(?:error: )?(?:[\s^~]*|Traceback \(most recent call last\):"
    r"|The above exception was .*|During handling of the above .*)\Z"
)


def telling(lines: Iterable[str], count: int) -> list[str]:
    """The last lines that tell something, 0: all; of a traceback the error, not the way there."""
    kept: list[str] = []
    code = False  # the line after a frame is its source
    for raw in lines:
        line = tidy(raw)
        frame = _FRAME.match(line) is not None
        source, code = code and not frame and _ERROR.match(line) is None, frame
        way = frame or source or _INDENTED.match(raw) is not None or _STACK.match(line) is not None
        if way or _EMPTY.match(line) or kept[-1:] == [line]:
            continue
        kept.append(line)
    return kept[-count:]


_STAMP = re.compile(r"\A\d{4}-\d\d-\d\dT[\d:.]+Z ")


def first_error(lines: Iterable[str], but: re.Pattern[str]) -> str:
    """The first error that names itself, with what it says; `but`: lines that only tell that there was one."""
    named = ""
    for line in telling((_STAMP.sub("", line) for line in lines), 0):
        text = line.removeprefix("error: ")
        if named:
            return f"{named} {text}"
        if _ERROR.match(text) and not but.search(text):
            if not text.rstrip().endswith(":"):
                return text
            named = text.rstrip()
    return named


# colours, cursor moves and titles that a program on a host wrote, then any other control character
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x09\x0b-\x1f\x7f-\x9f]"
)


def printable(text: str) -> str:
    """Text from hosts without what would move a terminal's cursor; line ends stay."""
    return _CONTROL.sub(lambda found: " " if len(found[0]) == 1 else "", text)
