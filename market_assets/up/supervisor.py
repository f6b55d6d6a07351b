"""The supervisor of the platform's processes.

It starts the code server, and the pages with the daemon. It watches both, and ends them. What the
processes print is read in `output`; how one is started stands in `processes`.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from market_assets.config.places import COPY_VARIABLE
from market_assets.errors import UpError
from market_assets.hosts import is_loopback
from market_assets.up.backoff import LONGEST
from market_assets.up.changes import changes, orphans
from market_assets.up.environment import environment_of
from market_assets.up.leash import GRACE, take
from market_assets.up.news import NEWS_FILE, Bulletin, read_news
from market_assets.up.output import Output
from market_assets.up.preflight import check_home, listen
from market_assets.up.processes import Errand, Process
from market_assets.up.socket_path import socket_path
from market_assets.up.starter import Starter
from market_assets.up.state import Restart, State, read_state, write_state
from market_assets.up.universe_file import UniverseFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from types import FrameType

    from market_assets.up.changes import Summary
    from market_assets.up.options import Options

LOCATION = "market_assets.definitions"
"""What Dagster calls the code location: the module, as `dagster dev -m` does."""

_LOCK_FILE, _WORKSPACE = "up.lock", "up.workspace.yaml"

_TICK = 0.5
_FILE_LOOK, _NEWS_LOOK = 2.0, 10.0
"""Seconds between two looks: at the processes, at the universe file, at the news."""

_RUNS = 3.0
"""Seconds that the processes and their runs have to end before they are killed."""

_PATIENCE = 10.0
"""Seconds that the code server may go on with what it does, before another takes over."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Runs the platform over one home folder.

    Args:
        options: What a person asks for.
        say: Prints a line; the first word may be a mark such as "wrong:".
        clock: Gives the present instant, aware UTC.
    """

    def __init__(
        self, options: Options, say: Callable[[str], None], clock: Callable[[], datetime]
    ) -> None:
        self._options = options
        self._home = options.home
        self._output = Output(say, clock)
        self._clock = clock
        self._file = UniverseFile(options.universe, options.home)
        self._bulletin = Bulletin(clock())
        self._signals = 0
        self._check: Errand | None = None
        self._orphans: list[str] = []

    def run(self, ready: Callable[[Mapping[str, str]], None]) -> int:
        """Start everything and watch it until a signal comes.

        Args:
            ready: Called with url, home and universe once the processes are started.

        Returns:
            The exit code: 0 after an end in good order, 1 where a second signal had the processes
                killed.

        Raises:
            MarketAssetsError: It cannot be started here; nothing was.
        """
        options = self._options
        with ExitStack() as stack:
            check_home(self._home)
            self._only_one(stack)
            listener = stack.enter_context(listen(options.host, options.port))
            self._catch_signals(stack)
            try:
                self._prepare(stack)
                self._begin(listener.fileno())
            except OSError as error:
                raise UpError(f"{self._home}: cannot be made ready: {error}.") from error
            ready({"url": options.url, "home": str(self._home), "universe": str(options.universe)})
            self._greet()
            try:
                self._watch()
            finally:
                code = self._end()
            return code

    # Starting.

    def _only_one(self, stack: ExitStack) -> None:
        try:
            lock = take(self._home / _LOCK_FILE)
        except OSError as error:
            raise UpError(
                f"{self._home / _LOCK_FILE}: cannot be opened: {error.strerror}."
            ) from error
        if lock is None:
            other = read_state(self._home)
            who = (
                f" (process {other.process}, {other.url})"
                if other and other.ended_at is None
                else ""
            )
            raise UpError(
                f"{self._home}: another `market-assets up` runs on this home folder{who}; "
                "end that one first."
            )
        stack.enter_context(lock)

    def _catch_signals(self, stack: ExitStack) -> None:
        # A shell gives its background jobs a SIGINT that is ignored: it counts here all the same.
        for number in _SIGNALS:
            before = signal.signal(number, self._on_signal)
            stack.callback(signal.signal, number, before)
        # A signal wakes the loop that waits for output.
        read, write = os.pipe()
        os.set_blocking(write, False)
        stack.callback(os.close, read)
        stack.callback(os.close, write)
        stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(write))
        self._output.wake_by(read)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _prepare(self, stack: ExitStack) -> None:
        """Check the universe and make the home folder ready, while nothing else runs.

        Raises:
            UpError: The universe has mistakes, or storage or store cannot be opened.
            OSError: The home folder cannot be written.
        """
        self._last = read_state(self._home)
        (self._home / NEWS_FILE).unlink(missing_ok=True)
        stack.callback(self._output.open(self._home / "log" / "up.log").close)
        self._file.changed()
        self._environment = environment_of(self._home, self._options.universe)
        self._starter = Starter(self._environment, self._output.read_from)
        stack.callback(self._end_starter)
        self._starter.start()
        while not self._starter.is_ready():
            self._output.pump(_TICK / 5)
            if self._signals:
                raise UpError("ended before it was started.")
        candidate = {**self._environment, COPY_VARIABLE: str(self._file.candidate)}
        prepare = Errand("prepare", candidate, self._starter.launch)
        while not prepare.is_done():
            self._output.pump(_TICK / 5)
            if self._signals:
                prepare.kill()
                raise UpError("ended before it was started.")
        answer, problem, trace = prepare.answer()
        self._output.write_lines("preparing", trace.encode())
        if answer is None:
            self._file.drop()
            raise UpError(problem)
        self._file.keep()
        self._environment[COPY_VARIABLE] = str(self._file.copy)
        self._summary: Summary = answer["summary"]
        self._schemas: Sequence[str] = answer["schemas"]
        self._ended: int = answer["ended"]

    def _begin(self, listener: int) -> None:
        options, home = self._options, self._home
        path, workspace = str(socket_path(home)), str(home / _WORKSPACE)
        server = {"grpc_server": {"socket": path, "location_name": LOCATION}}
        # JSON is YAML as well.
        Path(workspace).write_text(json.dumps({"load_from": [server]}))
        web = {
            "host": options.host,
            "hosts": options.hosts,
            "reports": options.reports,
            "read_only": options.read_only,
        }
        serve = ("market_assets.defs.internals.serve",)
        launch = self._starter.launch
        self._code = Process(
            "code server",
            [*serve, "code", path, LOCATION],
            self._environment,
            launch=launch,
            asks=True,
        )
        self._processes = [
            self._code,
            Process(
                "server of pages and sensors",
                [*serve, "pages", path, workspace, json.dumps(web)],
                self._environment,
                [listener],
                launch=launch,
            ),
        ]
        for process in self._processes:
            process.due = time.monotonic()
        self._state = State(os.getpid(), options.url, str(options.universe), self._clock())
        self._write_state()
        self._start_due()

    def _greet(self) -> None:
        options = self._options
        if self._last and self._last.ended_at is None:
            self._output.tell(
                "the last `up` of this home folder ended without a word: it was killed, "
                "or the power went."
            )
        if self._ended:
            self._output.tell(
                f"{_runs(self._ended)} of before had no process any more and now count as failed."
            )
        profiles = list(self._summary["profiles"])
        self._output.tell(
            f"open {self._options.url}/asset-groups first; each profile is a group: "
            f"{', '.join(profiles)}."
        )
        self._output.tell(
            f"what is complete: {self._options.url}/assets/{profiles[0]}/completeness"
        )
        if not options.read_only and not is_loopback(options.host):
            self._output.tell(
                "other machines can reach these pages and change everything; "
                "--read-only lets nobody."
            )
        self._tell_orphans(self._schemas)

    # Watching.

    def _watch(self) -> None:
        due = {self._look_at_file: 0.0, self._look_at_news: 0.0}
        pauses = {self._look_at_file: _FILE_LOOK, self._look_at_news: _NEWS_LOOK}
        while not self._signals:
            self._output.pump(_TICK)
            if why := self._starter.watch(time.monotonic()):
                self._note_death("fork server", why)
                self._output.tell(
                    f"the fork server has ended ({why}), and all that it has started with it."
                )
            for process in self._processes:
                if why := process.watch(time.monotonic()):
                    self._on_death(process, why)
                if process.made_way:
                    # A tick that comes meanwhile reaches nobody: that is no trouble.
                    process.made_way = False
                    self._state.taken_over_at = self._clock()
                    self._write_state()
            self._start_due()
            self._end_check()
            for look, at in due.items():
                if time.monotonic() >= at:
                    look()
                    due[look] = time.monotonic() + pauses[look]

    def _start_due(self) -> None:
        if not self._starter.is_ready():
            return
        now = time.monotonic()
        for process in self._processes:
            if process.due is not None and process.due <= now:
                try:
                    process.start(self._output.read_from)
                except OSError as error:
                    process.due = now + LONGEST
                    self._output.tell(
                        f"the {process.name} cannot be started: {error.strerror}; "
                        "it is tried again in a minute."
                    )

    def _on_death(self, process: Process, why: str) -> None:
        self._note_death(process.name, why)
        wait = max((process.due or 0.0) - time.monotonic(), 0.0)
        self._output.tell(
            f"the {process.name} has ended ({why}); it is started again in {wait:.0f} s."
        )

    def _note_death(self, name: str, why: str) -> None:
        self._state.note(Restart(name, self._clock(), why))
        self._write_state()

    def _look_at_news(self) -> None:
        if news := read_news(self._home):
            for line in self._bulletin.lines(news, time.monotonic()):
                self._output.tell(line)

    def _look_at_file(self) -> None:
        """Begin to check a universe file that has changed."""
        try:
            if self._check is None and self._starter.is_ready() and self._file.changed():
                environment = {**self._environment, COPY_VARIABLE: str(self._file.candidate)}
                self._check = Errand("check", environment, self._starter.launch)
        except OSError as error:
            self._output.tell(
                f"{self._options.universe}: its change cannot be looked at: {error.strerror}."
            )

    def _end_check(self) -> None:
        """Take a changed universe over once it is checked."""
        if self._check is None or not self._check.is_done():
            return
        answer, problem, trace = self._check.answer()
        self._check = None
        self._output.write_lines("checking", trace.encode())
        try:
            self._file.drop() if answer is None else self._file.keep()
        except OSError as error:
            answer, problem = None, f"it cannot be kept: {error.strerror}"
        if answer is None:
            self._refuse(problem)
            return
        words = changes(self._summary, answer["summary"])
        if words:
            self._output.tell(f"the universe has changed: {'; '.join(words)}.")
            self._state.taken_over_at = self._clock()
            self._code.replace(time.monotonic() + _PATIENCE)
        else:
            faulty = "has no mistakes any more" if self._state.faults else "has changed"
            self._output.tell(f"the universe file {faulty}; what it says is in use already.")
        self._summary = answer["summary"]
        self._tell_orphans(answer["schemas"])
        self._state.faults, self._state.faulty_since = [], None
        self._write_state()

    def _tell_orphans(self, schemas: Sequence[str]) -> None:
        lines = orphans(schemas, self._summary)
        for line in lines:
            if line not in self._orphans:
                self._output.tell(f"{line}.")
        self._orphans = lines

    def _refuse(self, problem: str) -> None:
        lines = [line.strip().removeprefix("- ") for line in problem.splitlines() if line.strip()]
        self._state.faults = lines[:10] or ["it cannot be read"]
        self._state.faulty_since = self._clock()
        self._write_state()
        self._output.tell(
            "wrong: the changed universe is not taken over, the last good one goes on. "
            f"{' '.join(lines[:4])}"
        )

    # The state file.

    def _write_state(self) -> None:
        try:
            write_state(self._home, self._state)
        except OSError as error:
            self._output.note(f"up.json cannot be written: {error.strerror}")

    # Ending.

    def _end(self) -> int:
        """End all processes and their runs; a second signal kills them at once."""
        before = self._signals
        self._output.tell("ending ...")
        closing = self._start_closing()
        if self._check is not None:
            self._check.kill()
        for process in self._processes:
            process.end(signal.SIGTERM)
        killed = self._wait_for_all(time.monotonic() + _RUNS, before)
        if closing is not None:
            closing.go()
            while not closing.is_done() and self._signals == before:
                self._output.pump(0.1)
            closing.kill()
            answer, _, trace = closing.answer()
            self._output.write_lines("closing", trace.encode())
            if answer and answer["ended"]:
                self._output.tell(
                    f"{_runs(answer['ended'])} had not ended and now count as failed; "
                    "what they committed is kept."
                )
        with suppress(OSError):
            socket_path(self._home).unlink()
        self._state.ended_at = self._clock()
        self._write_state()
        self._output.tell("ended.")
        # What takes too long is killed too, and nothing is lost by it.
        return 1 if killed and self._signals > before else 0

    def _wait_for_all(self, end: float, signals: int) -> bool:
        """Wait until nothing of the processes is left; tells whether they had to be killed."""
        killed = False
        # All are asked.
        while any([not process.has_ended() for process in self._processes]):  # noqa: C419
            if not killed and (time.monotonic() > end or self._signals > signals):
                killed = True
                for process in self._processes:
                    process.end(signal.SIGKILL)
            # Where nobody collects the processes that have ended, a group never becomes empty.
            if time.monotonic() > end + GRACE:
                break
            self._output.pump(0.1)
        return killed

    def _end_starter(self) -> None:
        self._starter.end()
        end = time.monotonic() + GRACE
        while not self._starter.has_ended() and time.monotonic() < end:
            self._output.pump(_TICK / 5)

    def _start_closing(self) -> Errand | None:
        # It takes seconds to import what it needs, in which the others end.
        with suppress(OSError):
            return Errand("close", self._environment, self._starter.launch)
        return None


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
