"""A code location with one job, for the tests of the code server."""

from __future__ import annotations

import dagster as dg


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job
def toy() -> None:
    """Do nothing."""
    nothing()


defs = dg.Definitions(jobs=[toy])
