"""The open store: a facade per table, made once and only where it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.tables.gaps import Gaps, GapsWriter

if TYPE_CHECKING:
    from market_assets.store import Store


def test_a_table_s_facade_is_made_once_and_when_it_is_asked_for(store: Store) -> None:
    with store.reading("looking") as view:
        assert "gaps" not in vars(view)
        assert type(view.gaps) is Gaps
        assert view.gaps is view.gaps


def test_a_transaction_has_writers_and_makes_no_readers_beside_them(store: Store) -> None:
    with store.writing("writing") as transaction:
        assert type(transaction.gaps) is GapsWriter
        assert transaction.gaps is transaction.gaps
        assert set(vars(transaction)) == {"database", "connection", "gaps"}
