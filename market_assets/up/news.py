"""What the terminal of `up` says of the data: the alerts sensor leaves it in a small file.

So the supervisor opens no database. Pure, but for the reading and writing of the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from market_assets.market.instants import bare_second
from market_assets.private import put_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

NEWS_FILE = "up.news.json"

SPAN = 900.0
"""Seconds between two lines of the terminal that say what was filled, at least."""


def write_news(
    home: Path,
    jobs: Iterable[Mapping[str, Any]],
    troubles: Mapping[str, str],
    streams: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> None:
    """Leave the news in the home folder, all of it or nothing.

    Args:
        home: The folder.
        jobs: Rows of `ops.jobs`, those that ended last.
        troubles: What is wrong now: a sentence by the name of each trouble.
        streams: By the name of each stream the states that its symbols are in, and how it is in
            words. It is news where its states are others.

    Raises:
        OSError: The file cannot be written.
    """
    filled = [
        {
            "job": job["job_id"],
            "what": f"{job['profile']} {job['timeframe']}",
            "started": bare_second(job["started_at"]),
            "rows": json.loads(job["detail"] or "{}").get("rows", {}).get("new", 0),
        }
        for job in jobs
        if job["kind"] == "fill"
    ]
    document = {"filled": filled, "troubles": dict(troubles), "streams": dict(streams)}
    put_private(home / NEWS_FILE, json.dumps(document).encode())


def read_news(home: Path) -> Mapping[str, Any] | None:
    """The news of a home folder; None where nobody has left any that can be read."""
    try:
        document = json.loads((home / NEWS_FILE).read_text())
    except (OSError, ValueError):
        return None
    return (
        document
        if isinstance(document, dict) and {"filled", "troubles"} <= document.keys()
        else None
    )


@dataclass
class Bulletin:
    """Turns news into lines: what begins or ends to be wrong, how streams become, what was filled.

    What was filled is said every 15 minutes.

    Args:
        since: What was begun before this instant is no news.
    """

    since: datetime
    troubles: dict[str, str] = field(default_factory=dict)
    jobs: set[str] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=dict)
    streams: dict[str, str] = field(default_factory=dict)
    said_at: float | None = None

    def lines(self, news: Mapping[str, Any], now: float) -> list[str]:
        """What is to be said now.

        Args:
            news: What `read_news` gives.
            now: The present instant, in seconds of a clock that nobody sets.
        """
        wrong: Mapping[str, str] = news["troubles"]
        lines = [
            f"wrong: {name}: {words}"
            for name, words in wrong.items()
            if self.troubles.get(name) != words
        ]
        lines += [f"over: {name}" for name in self.troubles if name not in wrong]
        self.troubles = dict(wrong)
        # An older version has left none.
        streams: Mapping[str, tuple[str, str]] = news.get("streams", {})
        lines += [
            f"stream {name}: {words}"
            for name, (state, words) in streams.items()
            if self.streams.get(name) != state
        ]
        self.streams = {name: state for name, (state, _) in streams.items()}
        self._count(news["filled"])
        if self.rows and (self.said_at is None or now - self.said_at >= SPAN):
            text = ", ".join(f"{what} {rows:,}" for what, rows in sorted(self.rows.items()))
            lines.append(f"new bars: {text}")
            self.rows, self.said_at = {}, now
        return lines

    def _count(self, filled: Sequence[Mapping[str, Any]]) -> None:
        for job in filled:
            is_new = job["job"] not in self.jobs and job["started"] >= bare_second(self.since)
            if is_new and job["rows"]:
                self.rows[job["what"]] = self.rows.get(job["what"], 0) + job["rows"]
        # What is in the file no more does not come again.
        self.jobs = {job["job"] for job in filled}
