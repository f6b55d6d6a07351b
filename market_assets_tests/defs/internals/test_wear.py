"""When a process makes way for a fresh one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from market_assets.defs.internals.wear import Wear

MINUTE, HOUR, MB = 60.0, 3600.0, 1024


PROGRAM = """
from market_assets.defs.internals.wear import private_memory

before = private_memory()
much = bytearray(b"x") * 50_000_000
print(before, private_memory())
"""


class Process:
    """A process of some age and memory."""

    def __init__(self) -> None:
        self.age = 0.0
        self.memory: int | None = 100 * MB
        self.looks = 0

    def clock(self) -> float:
        return self.age

    def look(self) -> int | None:
        self.looks += 1
        return self.memory

    def at(self, age: float, memory: int | None) -> None:
        self.age, self.memory = age, memory


def test_a_process_that_has_grown_makes_way_once_it_has_worked_for_a_while() -> None:
    process = Process()
    wear = Wear(process.look, process.clock)
    process.at(2 * MINUTE, 90 * MB)
    assert wear.words() == ""
    assert process.looks == 0
    # What it takes by now is what it needs.
    process.at(4 * MINUTE, 150 * MB)
    assert wear.words() == ""
    process.at(10 * MINUTE, 300 * MB)
    assert wear.words() == ""
    process.at(13 * MINUTE, 174 * MB)
    assert wear.words() == ""
    process.at(14 * MINUTE, 190 * MB)
    assert wear.words() == "it has grown by 40 MB in 14 minutes"


def test_a_process_that_does_not_grow_makes_way_once_a_day() -> None:
    process = Process()
    wear = Wear(process.look, process.clock)
    for hour in range(1, 24):
        process.at(hour * HOUR, 100 * MB)
        assert wear.words() == ""
    process.at(24 * HOUR, 100 * MB)
    assert wear.words() == "it has worked for 24 hours"


def test_its_memory_is_looked_at_now_and_then_and_where_nobody_tells_it_goes_on() -> None:
    process = Process()
    wear = Wear(process.look, process.clock)
    for second in range(100):
        process.at(HOUR + second, None)
        assert wear.words() == ""
    assert process.looks == 10


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_the_memory_of_a_process_is_what_it_has_written_to() -> None:
    # In a process of its own: threads of other tests give memory back meanwhile.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    before, after = map(int, done.stdout.split())
    assert 45 * MB < after - before < 60 * MB
