"""The small parts of `up`: waits, ports, the home folder, the news, the universe file, the log."""

from __future__ import annotations

import os
import re
import socket
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.errors import StoreError, UpError
from market_assets.home import home
from market_assets.up.backoff import wait_before
from market_assets.up.log import BYTES, FILES, Log
from market_assets.up.news import SPAN, Bulletin, read_news, write_news
from market_assets.up.preflight import check_home, check_room, listen
from market_assets.up.processes import MAKES_WAY, Process, ending
from market_assets.up.state import Restart, State, read_state, write_state
from market_assets.up.universe_file import UniverseFile

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def test_the_wait_doubles_up_to_a_minute_and_is_forgotten_after_ten_quiet_minutes() -> None:
    restarts: list[float] = []
    waits = []
    for _ in range(8):
        waits.append(wait_before(restarts, 1000.0))
        restarts.append(1000.0)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert wait_before(restarts, 1600.0) == 1


def test_a_port_that_cannot_be_had_is_refused_in_one_sentence() -> None:
    for port in (0, -1, 65536, 99999):
        with pytest.raises(
            UpError,
            match=rf"^--port {port}: there is no such port; choose one from 1024 to 65535\.$",
        ):
            listen("127.0.0.1", port)
    with (
        listen("127.0.0.1", port := free_port()),
        pytest.raises(UpError, match=rf"port {port} is taken by another"),
    ):
        listen("127.0.0.1", port)
    with pytest.raises(
        UpError, match=r"^--host 203\.0\.113\.7: this machine has no such address\.$"
    ):
        listen("203.0.113.7", port)
    with pytest.raises(UpError, match=r"^--host no\.such\.invalid: there is no such address: "):
        listen("no.such.invalid", port)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_a_home_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UpError, match=r"file/home: this home folder cannot be written: Not a directory; "
    ):
        check_home(tmp_path / "file" / "home")
    with pytest.raises(
        UpError, match=r"only 199 MB are free on this disk, and 200 MB are needed; "
    ):
        check_room(199_400_000, tmp_path)
    check_room(200_000_000, tmp_path)
    for name in ("a?b", "a%41b"):
        with pytest.raises(
            StoreError, match=rf"{re.escape(name)}: the path of a home folder must not hold "
        ):
            home({"MARKET_ASSETS_HOME": str(tmp_path / name)})
    assert home({"MARKET_ASSETS_HOME": str(tmp_path / "50% of a b#1")}).name == "50% of a b#1"


def test_how_a_process_ended_is_told_in_words() -> None:
    assert ending(-9) == "killed by SIGKILL"
    assert ending(-64 - 1) == "killed by signal 65"
    assert ending(2) == "ended with exit code 2"


def test_a_process_that_ends_is_due_again_and_one_that_makes_way_is_at_once(tmp_path: Path) -> None:
    process = Process("daemon", ["no_such_module"], dict(os.environ))
    outputs: list[int] = []
    process.start(lambda _, file: outputs.append(file))
    with os.fdopen(outputs[0], "rb") as output:
        assert b"no_such_module" in output.read()
    while (why := process.watch(5.0)) is None:
        continue
    assert why == "ended with exit code 1"
    assert process.due == 6.0
    assert process.has_ended()

    (tmp_path / "worn.py").write_text(f"raise SystemExit({MAKES_WAY})\n")
    path = os.pathsep.join([*sys.path, str(tmp_path)])
    worn = Process("code server", ["worn"], {**os.environ, "PYTHONPATH": path})
    worn.start(lambda _, file: os.close(file))
    while worn.due is None:
        assert worn.watch(7.0) is None
    assert worn.due == 7.0
    assert worn.made_way
    assert worn.restarts == []

    (tmp_path / "deaf.py").write_text(
        "import signal, threading\n"
        "signal.signal(15, signal.SIG_IGN)\n"
        "print(1, flush=True)\n"
        "threading.Event().wait()\n"
    )
    deaf = Process(
        "code server",
        ["deaf"],
        {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(tmp_path)])},
    )
    deaf.start(lambda _, file: outputs.append(file))
    with os.fdopen(outputs[1], "rb") as output:
        assert output.readline() == b"1\n"
        deaf.replace(10.0)
        assert deaf.watch(9.0) is None
        while deaf.due is None:
            assert deaf.watch(10.0) is None
        assert deaf.due == 10.0
        assert deaf.restarts == []
        assert output.read() == b""


def test_the_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    state = State(
        1,
        "http://127.0.0.1:3000",
        "universe.yaml",
        NOW,
        faults=["start: is missing"],
        faulty_since=NOW,
    )
    for _ in range(30):
        state.note(Restart("daemon", NOW, "killed by SIGKILL"))
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert len(state.restarts) == 20
    (tmp_path / "up.json").write_text("{")
    assert read_state(tmp_path) is None


def job(name: str, rows: int, kind: str = "fill") -> dict[str, object]:
    detail = f'{{"rows": {{"new": {rows}}}}}'
    return {
        "job_id": name,
        "kind": kind,
        "profile": "crypto",
        "timeframe": "1m",
        "detail": detail,
        "started_at": NOW,
    }


def test_the_terminal_says_what_changes_and_repeats_nothing(tmp_path: Path) -> None:
    bulletin = Bulletin(NOW)

    def lines(jobs: list[dict[str, object]], troubles: dict[str, str], now: float) -> list[str]:
        write_news(tmp_path, jobs, troubles)
        news = read_news(tmp_path)
        assert news is not None
        return bulletin.lines(news, now)

    gap = {"crypto candles_1m (gap)": "1 gap in BTCUSDT, 9 bars missing"}
    before = job("z", 9) | {"started_at": NOW - timedelta(seconds=1)}
    assert lines([before, job("a", 5), job("d", 7, "derive")], {}, 0.0) == ["new bars: crypto 1m 5"]
    assert lines([job("a", 5)], gap, 0.0) == [
        "wrong: crypto candles_1m (gap): 1 gap in BTCUSDT, 9 bars missing"
    ]
    assert lines([job("a", 5), job("b", 2), job("c", 0)], gap, 0.0) == []
    assert lines([job("b", 2), job("e", 1_000)], gap, SPAN) == ["new bars: crypto 1m 1,002"]
    assert lines([job("b", 2)], {}, SPAN) == ["over: crypto candles_1m (gap)"]
    assert lines([], {}, 2 * SPAN) == []


def test_the_terminal_says_how_a_stream_is_when_its_states_change(tmp_path: Path) -> None:
    bulletin = Bulletin(NOW)

    def lines(**streams: tuple[str, str]) -> list[str]:
        write_news(tmp_path, [], {}, {name.replace("_", " "): at for name, at in streams.items()})
        news = read_news(tmp_path)
        assert news is not None
        return bulletin.lines(news, 0.0)

    assert lines(crypto_1m=("2 live", "live since 13:02Z; lag p50 0.4 s")) == [
        "stream crypto 1m: live since 13:02Z; lag p50 0.4 s"
    ]
    # Its lag alone is no news.
    assert lines(crypto_1m=("2 live", "live since 13:02Z; lag p50 0.5 s")) == []
    assert lines(crypto_1m=("1 lost, 1 live", "lost since 13:09Z")) == [
        "stream crypto 1m: lost since 13:09Z"
    ]
    assert lines() == []


def test_a_universe_file_that_changes_is_a_candidate_once_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "universe.yaml"
    path.write_text("a: ${KEY}")
    file = UniverseFile(path, tmp_path)
    assert file.changed()
    file.keep()
    assert file.copy.read_text() == "a: ${KEY}"
    assert file.copy.stat().st_mode & 0o777 == 0o600
    assert not file.changed()

    path.write_text("b: 2 and more")
    assert not file.changed()
    assert file.changed()
    assert file.candidate.read_text() == "b: 2 and more"
    file.drop()
    assert not file.changed()
    assert file.copy.read_text() == "a: ${KEY}"

    path.unlink()
    assert not file.changed()
    assert file.changed()
    assert file.candidate.read_text() == ""


def test_the_log_is_bounded_and_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    log = Log(tmp_path / "log" / "up.log")
    for number in range(FILES * BYTES // 1000 + 5000):
        log.write(f"{number:0999}")
    sizes = [path.stat().st_size for path in (tmp_path / "log").iterdir()]
    assert len(sizes) == FILES
    assert max(sizes) <= BYTES
    log.stream.close()
    log.stream = open("/dev/full", "w")  # noqa: PTH123, SIM115
    log.write("nobody reads this")
    log.close()
