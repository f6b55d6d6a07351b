"""`ops.recipes`: how each dataset is made, as far as its settings go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.database import Table

if TYPE_CHECKING:
    from market_assets.market.datasets import Dataset


class Recipes(Table):
    """Reads `ops.recipes`: how each dataset was made."""

    def of(self, dataset: Dataset) -> str | None:
        """How a dataset was made, as `RecipesWriter.put` has recorded it.

        None where nothing is recorded.
        """
        rows = self._db.execute(
            "SELECT recipe FROM ops.recipes WHERE profile = ? AND dataset = ?",
            [dataset.owner, dataset.label],
        ).fetchall()
        return rows[0][0] if rows else None


class RecipesWriter(Recipes):
    """Reads and writes `ops.recipes`."""

    def put(self, dataset: Dataset, recipe: str) -> None:
        """Record how a dataset is made: see `Work.recipe`."""
        if self.of(dataset) != recipe:
            self._db.execute(
                "DELETE FROM ops.recipes WHERE profile = ? AND dataset = ?",
                [dataset.owner, dataset.label],
            )
            self._db.execute(
                "INSERT INTO ops.recipes VALUES (?, ?, ?)", [dataset.owner, dataset.label, recipe]
            )
