"""All checks over a home folder and a universe, in the order in which one rests on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.config.services import ServeSettings
from market_assets.doctor.checks.locks import check_locks
from market_assets.doctor.checks.network import check_network, check_no_network
from market_assets.doctor.checks.place import check_place
from market_assets.doctor.checks.ports import check_ports
from market_assets.doctor.checks.records import check_dagster, check_store
from market_assets.doctor.checks.setup import check_setup
from market_assets.doctor.checks.software import check_software
from market_assets.doctor.rim.locks import look_at_locks
from market_assets.doctor.rim.network import look_at_network
from market_assets.doctor.rim.place import look_at_place
from market_assets.doctor.rim.ports import look_at_ports
from market_assets.doctor.rim.records import look_at_store
from market_assets.doctor.rim.setup import look_at_setup
from market_assets.doctor.rim.software import look_at_software

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from market_assets.config.universe import Universe
    from market_assets.doctor.facts import DagsterFile
    from market_assets.doctor.findings import Finding


def examine(
    home: Path,
    environ: Mapping[str, str],
    dagster: Sequence[DagsterFile],
    *,
    offline: bool,
) -> list[Finding]:
    """Gather the facts and judge them.

    Nothing is written, and nobody waits for it.

    Args:
        home: The home folder, which need not be there.
        environ: The variables of the environment.
        dagster: Dagster's files in the home.
        offline: Ask no source.
    """
    setup, universe = look_at_setup(environ)
    locks = look_at_locks(home)
    store_lock, *_ = locks
    serve = universe.serve if universe else ServeSettings()
    return [
        *check_software(look_at_software(universe)),
        *check_place(look_at_place(home)),
        *check_setup(setup),
        *_network(universe, offline=offline),
        *check_ports(look_at_ports(home, serve)),
        check_store(look_at_store(home, store_lock)),
        check_dagster(dagster),
        *check_locks(locks),
    ]


def _network(universe: Universe | None, *, offline: bool) -> Iterator[Finding]:
    if offline:
        return check_no_network("because of --offline")
    if universe is None:
        return check_no_network("because the universe cannot be used")
    return check_network(look_at_network(universe))
