"""What people see of a run: it fits, it says what matters, it leaves a clean screen behind."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from orchestrator.contracts import Change, Event, Plan
from orchestrator.errors import Failed
from orchestrator.run.events import Bus, Kind, Served
from orchestrator.run.frame import ASCII, Frame
from orchestrator.run.jsonl import JsonLines
from orchestrator.run.live import LiveObserver
from orchestrator.run.observers import observer_for, open_bus
from orchestrator.run.plain import PlainObserver
from orchestrator.run.record import Record, fold
from orchestrator.run.summary import curl, summary
from tests.synthetic import STAGES, Clock, Kept, Story, plan_of, step


def told(hosts: int, stage: str) -> tuple[Record, float]:
    kept = Kept()
    story = Story(hosts, [kept])
    story.until(stage)
    return fold(kept.events), story.clock.now


def drawn(hosts: int, stage: str, height: int = 24, width: int = 100) -> list[str]:
    record, now = told(hosts, stage)
    return [line.plain for line in Frame(record, now, width).lines(height)]


@pytest.mark.parametrize("hosts", [1, 3, 9, 100])
@pytest.mark.parametrize("height", [3, 8, 24, 60])
@pytest.mark.parametrize("stage", ["reach", "image", "answer"])
def test_it_fits_the_terminal(hosts: int, height: int, stage: str) -> None:
    lines = drawn(hosts, stage, height, width=80)
    assert 0 < len(lines) <= height
    assert all(len(line) <= 80 for line in lines)


def test_three_hosts_show_who_does_what_and_who_waits_for_what() -> None:
    shown = "\n".join(drawn(3, "image"))
    assert re.search(r"✔ reach +3 hosts · 2 changed", shown)
    assert re.search(r"✔ spark-1 ", shown)
    assert re.search(r"spark-2 +image: 3.2 of 11.4 GB +31s", shown)
    assert "Loading safetensors checkpoint shards:  40% | 2/5" in shown
    assert re.search(r"weights +waits for image", shown)
    assert re.search(r"answer +waits for ready", shown)
    assert "16 of 36 steps · 2 running" in shown


def test_a_hundred_hosts_are_counted_and_the_rest_is_named_as_left_out() -> None:
    lines = drawn(100, "image")
    assert any("100 hosts · 1 done · 99 running" in line for line in lines)
    shown = sum("spark-" in line for line in lines)
    assert lines[-1].strip() == f"… and {99 - shown} more"
    assert not any("spark-1 " in line for line in lines)  # it is done


def test_when_there_is_no_room_failures_stay() -> None:
    kept = Kept()
    story = Story(100, [kept])
    story.until("image")
    victims = [one for one in story.plan.steps.values() if one.stage == "image"]
    story.bus.failed(victims[77], Failed("no space left on /var/lib/docker"))
    lines = [line.plain for line in Frame(fold(kept.events), story.clock.now, 100).lines(9)]
    assert len(lines) <= 9
    assert any("spark-78" in line and "no space left" in line for line in lines)


def test_with_several_deployments_each_has_its_own_stages() -> None:
    kept = Kept()
    bus = Bus("r", [kept], clock=Clock())
    named = [replace(step("image", host), id=f"vl/image/{host}", scope="vl") for host in ("a", "b")]
    named += [replace(step("net", host), id=f"{host}/net/apply", scope=None) for host in "ab"]
    named += [replace(step("start", "a"), id="fast/rank/0", scope="fast")]
    plan = Plan({one.id: one for one in named}, {}, frozenset(one.id for one in named))
    bus.planned(plan)
    for one in named:
        bus.started(one)
    bus.progress(named[-1], Change("pulls"))
    bus.log_line(named[-1], "INFO 11-21 12:13:16 [a.py:1] half of it is here")
    lines = [line.plain for line in Frame(fold(kept.events), 1.0, 80).lines(24)[2:]]
    titles = [line[:26].strip("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ") for line in lines]
    steps = ["a", "b", "net", "a/apply", "b/apply"]
    assert titles == ["image vl", *steps, "start fast", "half of it is here"]
    assert "a · pulls" in lines[-2]  # the only step of its stage shares its line


def test_what_had_nothing_to_do_shares_a_line_at_the_end() -> None:
    kept = Kept()
    bus = Bus("r", [kept], clock=Clock())
    plan = plan_of(2, ("reach", "stale", "image"))
    bus.planned(plan)
    for one in plan.steps.values():
        bus.started(one)
        bus.done(one, changed=one.stage == "image")
    first, second = (line.plain.rstrip() for line in Frame(fold(kept.events), 1.0, 80).final())
    assert first == "✔ 2 stages  reach, stale"
    assert second.startswith("✔ image")


def test_what_was_never_begun_shares_a_line_at_the_end() -> None:
    """The failure shall not be the one line of thirty that is none."""
    kept = Kept()
    bus = Bus("r", [kept], clock=Clock())
    plan = plan_of(1, ("reach", "stale", "image", "start"))
    bus.planned(plan)
    first, *rest = plan.steps.values()
    bus.failed(first, Failed("no route"))
    for one in rest:
        bus.skipped(one, "reach failed", [first.id])
    lines = [line.plain.rstrip() for line in Frame(fold(kept.events), 1.0, 80).final()]
    assert lines[0].startswith("✘ reach")
    assert lines[1:] == ["↷ 3 stages  stale, image, start"]


def test_a_host_that_is_gone_is_one_failure_whatever_asked_it() -> None:
    kept = Kept()
    bus = Bus("r", [kept], clock=Clock())
    plan = plan_of(2, ("down", "stop"))
    bus.run_started("down", "duo")
    bus.planned(plan)
    for one in plan.steps.values():
        bus.failed(one, Failed(f"no answer of {one.host}"))
    bus.run_done(3)
    said = [line.plain for line in summary(fold(kept.events))]
    first, second = (line for line in said if line.startswith("✘ failed"))
    assert first == "✘ failed  vl/down/spark-1, vl/stop/spark-1  on spark-1"
    assert second.endswith("  on spark-2")


def test_a_dry_run_leaves_the_terminal_to_the_plan() -> None:
    """The plan is printed between the two: into a display that still moves it would be torn."""
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=80, height=24, _environ={})
    plan = plan_of(2, ("image", "start"))
    with Bus("r", [LiveObserver(terminal, Clock())], clock=Clock()) as bus:
        bus.run_started("up", "duo", dry_run=True)
        bus.planned(plan)
        assert out.getvalue().count("\x1b[?25h") == 1  # the cursor is back before the plan
        seen = len(out.getvalue())
        bus.run_done(0, text="nothing was changed")
    said = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()[seen:]).strip()
    assert said == "✔ up duo --dry-run  nothing was changed, 0.0s"


def test_a_gate_before_a_change_is_no_news_and_a_wait_is_ready() -> None:
    kept = Kept()
    bus = Bus("r", [kept], clock=(clock := Clock()))
    ports, rank = step("start", "a", role="gate"), replace(step("start", "a"), id="vl/rank/0")
    join = step("join", "a", role="wait")
    bus.planned(Plan({one.id: one for one in (ports, rank, join)}, {}, frozenset()))
    for one in (ports, rank, join):
        bus.started(one)
        clock.now += 1
        bus.done(one, changed=one is rank)
    start, ready = (line.plain.split() for line in Frame(fold(kept.events), 1.0, 80).final())
    assert start == ["✔", "start", "1", "changed", "2.0s"]
    assert ready == ["✔", "join", "ready", "1.0s"]


def test_a_terminal_without_utf8_gets_ascii() -> None:
    record, now = told(3, "image")
    text = "\n".join(line.plain for line in Frame(record, now, 100, ASCII).lines(24))
    assert text.replace("…", "").isascii()


@settings(max_examples=60, deadline=None)
@given(
    st.text("ab\n\t\r\x07\x1b\x9b[]31m;é語", max_size=60),
    st.integers(20, 200),
    st.integers(2, 50),
)
def test_no_text_of_a_host_breaks_the_frame(text: str, width: int, height: int) -> None:
    kept = Kept()
    story = Story(2, [kept])
    story.until("image")
    one = next(one for one in story.plan.steps.values() if one.id == "vl/image/spark-2")
    story.bus.log_line(one, text)
    story.bus.failed(next(iter(story.plan.steps.values())), Failed(text))
    lines = Frame(fold(kept.events), story.clock.now, width).lines(height)
    assert len(lines) <= height
    assert not any(set(line.plain) & set("\n\t\r\x1b\x07\x9b") for line in lines)


def live_output(tell: str, hosts: int = 3) -> str:
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=True, width=100, height=24, color_system=None, _environ={}
    )
    clock = Clock()
    observer = LiveObserver(console, clock)
    getattr(Story(hosts, [observer]), tell)()
    observer.close()
    return out.getvalue()


def test_live_leaves_stages_and_a_way_to_ask() -> None:
    text = live_output("succeed")
    final = text[text.rindex("✔ reach") :]
    assert final.count("✔") == len(STAGES) + 1
    assert "● vl  http://192.168.102.11:8000  qwen3-vl" in final
    assert "it said   Hello!" in final
    assert "curl http://192.168.102.11:8000/v1/chat/completions" in final
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back


def test_live_gives_the_terminal_back_when_a_run_breaks_off() -> None:
    out = io.StringIO()
    observer = LiveObserver(
        Console(file=out, force_terminal=True, width=80, height=24, _environ={}), Clock()
    )
    with Bus("r", [observer]) as bus:
        bus.run_started("up", "duo")
    assert out.getvalue().count("\x1b[?25h") == 1


def test_a_failure_says_what_where_why_what_to_do_and_what_is_left() -> None:
    text = live_output("fail")
    final = text[text.rindex("✘ failed") :]
    assert "vl/image/spark-2  on spark-2" in final
    assert "manifest for vllm/none:1 not found" in final
    assert "look at `image:` in profiles/vl.yaml" in final
    assert "/state/orch/evidence/vl" in final
    assert "vl/weights/spark-1, vl/weights/spark-2, vl/weights/spark-3" in final
    assert "✘ refused  vl/image/spark-3" in final
    assert "2 failed, 18 skipped, 11 changed" in final
    assert "still up  fast on spark-1" in final
    assert "next      orch up" in final
    assert "orch runs show 20260101T000000-abcd" in final


def test_plain_lines_have_elapsed_step_and_no_escape_codes() -> None:
    out = io.StringIO()
    Story(2, [PlainObserver(out)]).fail()
    text = out.getvalue()
    assert "[   0.0s] orch up duo\n" in text
    assert re.search(r"\[ +\d\S+\] vl/reach/spark-1: started: reach on spark-1\n", text)
    assert re.search(r"vl/image/spark-1: changed, 31s\n", text)
    assert "vl/image/spark-2: FAILED: manifest for vllm/none:1 not found (hint: look at" in text
    assert "vl/answer/spark-2: skipped: needs an image" in text
    assert "✘ up duo: failed" in text
    assert "\x1b" not in text


def test_plain_says_nothing_of_steps_with_nothing_to_do_and_little_of_long_ones() -> None:
    out, clock = io.StringIO(), Clock()
    bus = Bus("r", [PlainObserver(out)], clock=clock)
    plan = plan_of(1, ("image", "start"))
    image, start = plan.steps.values()
    bus.run_started("up", "duo")
    bus.started(image)
    bus.done(image, changed=False)
    for second in range(60):
        clock.now += 1
        bus.emit(Kind.STEP_PROGRESS, start, "waits for /health", progress=str(second))
    lines = out.getvalue().splitlines()
    assert not [line for line in lines if "vl/image" in line]
    assert len([line for line in lines if "waits for /health" in line]) == 4


def test_the_same_progress_is_told_once() -> None:
    kept = Kept()
    bus = Bus("r", [kept])
    one = step("ready", "spark-1")
    for text in ("not yet", "not yet", "2 of 3", "2 of 3", "not yet"):
        bus.emit(Kind.STEP_PROGRESS, one, text)
    assert [event.text for event in kept.events] == ["not yet", "2 of 3", "not yet"]


def test_nothing_to_change_is_said() -> None:
    kept = Kept()
    bus = Bus("r", [kept], clock=Clock())
    bus.run_started("up", "duo")
    bus.run_done(0)
    assert summary(fold(kept.events))[-1].plain == "✔ up duo  nothing to change, 0.0s"


def test_what_was_found_and_what_is_odd_stay_on_the_screen() -> None:
    kept = Kept()
    bus = Bus("r", [kept], clock=Clock())
    bus.run_started("up", "duo")
    bus.note("vl: RoCE in use on both rails", host="spark-1")
    bus.note("odd", severity="warning")
    bus.run_done(0)
    said = [line.plain for line in summary(fold(kept.events))]
    assert said[1:3] == ["spark-1: vl: RoCE in use on both rails", "warning: odd"]


def test_curl_survives_a_shell_and_never_holds_a_key() -> None:
    served = Served("vl", "http://h:8000/", "it's $HOME", key="$VLLM_API_KEY")
    line = curl(served.__dict__)
    assert line.startswith("curl http://h:8000/v1/chat/completions -H ")
    assert '-H "Authorization: Bearer $VLLM_API_KEY"' in line
    assert "'\"'\"'" in line  # the apostrophe, quoted


def test_the_display_is_chosen_by_terminal_and_json() -> None:
    out = io.StringIO()
    assert isinstance(observer_for(True, True, out), JsonLines)
    assert isinstance(observer_for(False, False, out), PlainObserver)
    assert isinstance(observer_for(False, True, out), LiveObserver)


def test_json_lines_are_one_object_each() -> None:
    out = io.StringIO()
    kept = Kept()
    Story(2, [JsonLines(out), kept]).succeed()
    assert len(out.getvalue().splitlines()) == len(kept.events)


def test_a_run_goes_on_where_no_journal_can_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")
    out = io.StringIO()
    with open_bus(stream=out) as bus:
        bus.run_started("up", "duo")
    assert "warning: this run is not recorded" in out.getvalue()
    assert "orch up duo" in out.getvalue()


@given(st.lists(st.sampled_from(list(Kind)), max_size=30), st.data())
def test_no_order_of_events_breaks_the_fold(kinds: list[Kind], data: st.DataObject) -> None:
    record = Record()
    for kind in kinds:
        name = data.draw(st.sampled_from(["a", "b", None]))
        record.add(Event(1.0, "r", kind, name, None, "text", {}))
    assert len(Frame(record, 2.0, 80).lines(10)) <= 10
    assert summary(record)
