"""A prune notes when it was, and why it failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from market_assets.keeping.note import PruneNote, note_failure, note_prune, read_note

NOW = datetime(2026, 3, 1, 3, 40, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_failure_is_noted_since_the_first_one_and_is_over_with_the_next_prune(tmp_path):
    assert read_note(tmp_path) == PruneNote()
    note_prune(tmp_path, NOW)
    note_failure(tmp_path, NOW + DAY, "no lake")
    note_failure(tmp_path, NOW + 2 * DAY, "no room")
    assert read_note(tmp_path) == PruneNote(NOW, NOW + DAY, "no room")

    note_prune(tmp_path, NOW + 3 * DAY)
    assert read_note(tmp_path) == PruneNote(NOW + 3 * DAY)


def test_a_damaged_note_is_none(tmp_path):
    note_prune(tmp_path, NOW)
    (tmp_path / "prune.json").write_text("{]")
    assert read_note(tmp_path) == PruneNote()
