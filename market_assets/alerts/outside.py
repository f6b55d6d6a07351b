"""What is kept of the store beside it, in a small JSON file: which store it was, and its troubles.

The alerts are in the store. That it cannot be opened, or is another one, has to be known without
it: `market.witness.json` holds the newest mark of the store that was seen, since when backlogs have
stood still, and the alerts of Kind.STORE, so that each is told once.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from market_assets.alerts import message
from market_assets.alerts.channels import channels_of, send
from market_assets.alerts.ledger import Alert, claim, reconcile, told
from market_assets.alerts.platform import store_changed
from market_assets.alerts.rows import ALERT_SCHEMA, alert_of
from market_assets.alerts.troubles import Kind, Level, Trouble
from market_assets.errors import StoreBusyError
from market_assets.private import put_private
from market_assets.store import StoreMark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from market_assets.config.universe import Universe
    from market_assets.errors import StoreError

log = logging.getLogger("market_assets.alerts")

WITNESS = "market.witness.json"
"""The file's name in the home folder."""

BUSY_FOR = timedelta(minutes=2)
"""A store that another program holds for longer is worth an alert."""

_STANDS_STILL = timedelta(days=1)
"""A backlog that has not become smaller for so long is not being worked on."""


@dataclass(frozen=True)
class Change:
    """That the store is not the one that it was.

    Attributes:
        was: The newest mark of the store that was there.
        present: The mark of the one that was found in its place.
        since: When that was (UTC).
    """

    was: StoreMark
    present: StoreMark
    since: datetime


@dataclass(frozen=True)
class Notes:
    """What the file holds.

    Attributes:
        store: The newest mark that was seen.
        change: What has become of it, until it is healed or accepted.
        backlogs: By profile and asset, how many partitions were never filled, and since when they
            are not fewer.
        busy_since: Since when the store could not be had; None while it can.
        alerts: The alerts of the store itself that go on, or whose end is still to be told.
    """

    store: StoreMark | None = None
    change: Change | None = None
    backlogs: Mapping[str, tuple[int, datetime]] = field(default_factory=dict)
    busy_since: datetime | None = None
    alerts: tuple[Alert, ...] = ()


class Outside:
    """Reads and writes the notes of one home folder.

    Args:
        folder: The home folder.
        universe: Who is told.
        clock: Gives the present instant.
    """

    def __init__(self, folder: Path, universe: Universe, clock: Callable[[], datetime]) -> None:
        self._path = folder / WITNESS
        self._universe = universe
        self._clock = clock

    @property
    def notes(self) -> Notes:
        """What is noted; nothing where there is no file, or one that was damaged."""
        try:
            return _notes(json.loads(self._path.read_text()))
        except FileNotFoundError:
            return Notes()
        except (OSError, ValueError, LookupError, TypeError) as error:
            log.warning("%s is not readable and begun anew: %s", self._path, error)
            return Notes()

    @property
    def is_changed(self) -> bool:
        """Whether the store is still known as another one than it was."""
        return self.notes.change is not None

    def compare(self, mark: StoreMark, *, whole: bool) -> list[Trouble]:
        """Compare the store with the one that was seen last.

        Args:
            mark: The mark of the store that is there.
            whole: All that was ever filled or made is in it.

        Returns:
            That it was deleted, replaced or restored from an older copy, until all is there again.
        """
        notes, now = self.notes, self._clock()
        if notes.store is None and not mark.store_id:
            # There was no store yet, and there is none.
            return []
        change = notes.change
        if change is None and notes.store is not None and not _continues(notes.store, mark):
            change = Change(notes.store, mark, now)
        elif change is not None and (whole or _put_back(change, mark)):
            change = None
        self._save(
            replace(notes, store=mark if mark.store_id else notes.store, change=change), notes
        )
        return [] if change is None else [store_changed(change.was, change.present)]

    def accept(self) -> bool:
        """Take the store that is there for the right one; gives whether there was any doubt."""
        notes = self.notes
        if notes.change is not None:
            self._save(replace(notes, store=None, change=None), notes)
        return notes.change is not None

    def standing(self, backlogs: Mapping[str, int]) -> set[str]:
        """Which of some backlogs have not become smaller for a day.

        Args:
            backlogs: How many partitions were never filled, by profile and asset.
        """
        notes, now = self.notes, self._clock()
        kept = {}
        for name, count in backlogs.items():
            before, since = notes.backlogs.get(name, (count, now))
            if count:
                kept[name] = (count, now if count < before else since)
        self._save(replace(notes, backlogs=kept), notes)
        return {name for name, (_, since) in kept.items() if now - since >= _STANDS_STILL}

    @property
    def was_looked(self) -> bool:
        """Whether the alerts sensor has ever looked at this home."""
        return self._path.exists()

    def look(self, error: StoreError | None) -> tuple[Alert, ...]:
        """Tell that the store cannot be had, once, and once more when it can again.

        Args:
            error: Why it cannot; None if it can. One that is only busy is told after BUSY_FOR.

        Returns:
            The alerts that go on.
        """
        notes, now = self.notes, self._clock()
        busy_since = None if error is None else min(notes.busy_since or now, now)
        troubles = []
        is_busy = isinstance(error, StoreBusyError)
        if error is not None and (not is_busy or (busy_since and now - busy_since >= BUSY_FOR)):
            words = (
                "the store is held by another program" if is_busy else "the store cannot be used"
            )
            details = (self._universe.redact(str(error))[:500],)
            troubles = [Trouble("", Kind.STORE, "market.duckdb", Level.ERROR, words, 1, details)]
        reckoning = reconcile(notes.alerts, troubles, now)
        due = (*reckoning.begun, *reckoning.over)
        channels = channels_of(self._universe)
        claimed = {alert.alert_id: alert for alert in claim(due, now)} if channels else {}
        rows = tuple(claimed.get(alert.alert_id, alert) for alert in reckoning.alerts)
        self._save(_kept(replace(notes, busy_since=busy_since), rows), notes)
        if claimed:
            rows = self._tell(rows, reckoning.begun, reckoning.over)
            # Nobody else writes what was claimed here.
            before = self.notes
            self._save(_kept(before, rows), before)
        return tuple(alert for alert in rows if alert.over_at is None)

    def _tell(
        self, rows: Sequence[Alert], begun: Sequence[Alert], over: Sequence[Alert]
    ) -> tuple[Alert, ...]:
        redact, now = self._universe.redact, self._clock()
        letters = [message.begun(begun, redact)] if begun else []
        letters += [message.over(over, redact)] if over else []
        outcomes = send(dict.fromkeys(channels_of(self._universe), letters), self._universe)
        if not any(not any(errors) for errors in outcomes.values()):
            why = "; ".join(
                f"{name}: {next(filter(None, errors))}" for name, errors in outcomes.items()
            )
            return tuple(replace(alert, error=why) for alert in rows)
        sent = {alert.alert_id: alert for alert in (*begun, *over)}
        return tuple(
            told(alert, sent[alert.alert_id], now) if alert.alert_id in sent else alert
            for alert in rows
        )

    def _save(self, notes: Notes, before: Notes) -> None:
        if notes == before:
            return
        text = json.dumps(asdict(notes), default=datetime.isoformat, indent=1)
        # Without room for a note the look goes on: the next one notes it.
        with suppress(OSError):
            put_private(self._path, text.encode())


def _continues(before: StoreMark, mark: StoreMark) -> bool:
    """Whether a store is the one that was seen before, and not an older copy of it."""
    return mark.store_id == before.store_id and mark.commits >= before.commits


def _put_back(change: Change, mark: StoreMark) -> bool:
    """Whether the store that was gone is there again.

    An older copy that is filled anew has commits of today.
    """
    untouched = mark.committed_at is not None and mark.committed_at <= change.since
    return untouched and _continues(change.was, mark)


def _kept(notes: Notes, rows: Sequence[Alert]) -> Notes:
    return replace(
        notes, alerts=tuple(row for row in rows if row.over_at is None or row.over_untold)
    )


def _notes(stored: Mapping[str, Any]) -> Notes:
    change = stored["change"]
    return Notes(
        store=stored["store"] and _mark(stored["store"]),
        change=change
        and Change(
            _mark(change["was"]), _mark(change["present"]), datetime.fromisoformat(change["since"])
        ),
        backlogs={
            name: (count, datetime.fromisoformat(at))
            for name, (count, at) in stored["backlogs"].items()
        },
        busy_since=stored["busy_since"] and datetime.fromisoformat(stored["busy_since"]),
        alerts=tuple(_alert(row) for row in stored["alerts"]),
    )


def _mark(stored: Mapping[str, Any]) -> StoreMark:
    at = stored["committed_at"]
    return StoreMark(stored["store_id"], stored["commits"], at and datetime.fromisoformat(at))


def _alert(row: Mapping[str, Any]) -> Alert:
    values = {name: row[name] for name in ALERT_SCHEMA}
    instants = {
        name: datetime.fromisoformat(value)
        for name, value in values.items()
        if name.endswith("_at") and value is not None
    }
    return alert_of({**values, **instants})
