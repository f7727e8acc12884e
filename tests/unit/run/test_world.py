"""An answer that was asked for earlier never takes the place of a newer one, however the threads run."""

from __future__ import annotations

import threading

from orchestrator.hosts.reader import Answers
from orchestrator.run.world import LiveWorld, Reads
from tests.unit.toy import Get

HERE: Reads = frozenset({("a", Get("x"))})


def answers(value: int) -> dict[str, Answers]:
    return {"a": Answers("a", {Get("x"): value})}


class Slow:
    """A reader whose first answer comes when it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go = threading.Event()
        self.values = iter((1, 2))

    def __call__(self, wanted: Reads) -> dict[str, Answers]:
        value = next(self.values)
        if value == 1:
            self.asked.set()
            assert self.go.wait(20)
        return answers(value)


def late(world: LiveWorld, reader: Slow) -> threading.Thread:
    thread = threading.Thread(target=world.read, args=(HERE,))
    thread.start()
    assert reader.asked.wait(20)
    return thread


def test_what_was_read_before_an_apply_does_not_hide_what_came_with_it() -> None:
    reader = Slow()
    world = LiveWorld(["a"], reader)
    thread = late(world, reader)
    world.take(answers(7))
    reader.go.set()
    thread.join()
    assert world["a"].get(Get("x")) == 7


def test_of_two_reads_the_one_that_was_asked_last_counts() -> None:
    reader = Slow()
    world = LiveWorld(["a"], reader)
    thread = late(world, reader)
    world.read(HERE)
    reader.go.set()
    thread.join()
    assert world["a"].get(Get("x")) == 2
