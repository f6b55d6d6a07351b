"""What is installed, against what the package says that it needs."""

from __future__ import annotations

import platform
import re
from collections import defaultdict
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from market_assets.config.services import ServeSettings
from market_assets.doctor.facts import Need, Software
from market_assets.sources.contract import source_types
from market_assets.sources.transport.library import LibrarySettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from market_assets.config.universe import Universe

_PACKAGE = "market-assets"
_FOR_DEVELOPERS = "dev"

CONSTRAINTS = Path(__file__).parents[3] / "constraints.txt"
"""The releases that were tested: beside the package in a clone, absent where it was installed."""


def look_at_software(
    universe: Universe | None, *, package: str = _PACKAGE, constraints: Path = CONSTRAINTS
) -> Software:
    """Look at the interpreter and the packages.

    Args:
        universe: Which extras are used; None where it cannot be read.
        package: Whose needs are meant.
        constraints: The file of releases that were tested.
    """
    try:
        install = distribution(package)
    except PackageNotFoundError:
        # It runs from a folder that was never installed.
        itself = Need(package, "", None, fits=False)
        return Software(platform.python_version(), "", python_fits=True, needs=(itself,))
    needs, extras = _needs_of(install)
    pythons = install.metadata["Requires-Python"] or ""
    return Software(
        python=platform.python_version(),
        pythons=pythons,
        python_fits=SpecifierSet(pythons).contains(platform.python_version(), prereleases=True),
        needs=needs,
        extras=extras,
        wanted_extras=dict(_wanted_extras(universe)) if universe else {},
        tests=_other_releases(constraints) if constraints.is_file() else None,
    )


def _needs_of(
    package: Distribution,
) -> tuple[tuple[Need, ...], dict[str, tuple[Need, ...]]]:
    """What a package needs: always, and for each of its extras."""
    requirements = [Requirement(text) for text in package.requires or ()]
    always = tuple(_need(requirement) for requirement in requirements if _is_meant(requirement, ""))
    extras: defaultdict[str, list[Need]] = defaultdict(list)
    for extra in sorted(set(package.metadata.get_all("Provides-Extra") or ()) - {_FOR_DEVELOPERS}):
        for requirement in requirements:
            if _is_meant(requirement, extra) and not _is_meant(requirement, ""):
                extras[extra].append(_need(requirement))
    return always, {extra: tuple(needs) for extra, needs in extras.items()}


def _is_meant(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _need(requirement: Requirement) -> Need:
    release = _release(requirement.name)
    fits = release is not None and requirement.specifier.contains(release, prereleases=True)
    return Need(requirement.name, str(requirement.specifier), release, fits)


def _release(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _wanted_extras(universe: Universe) -> Iterator[tuple[str, str]]:
    """The extras that a universe uses, each with what uses it."""
    types = source_types()
    for name, settings in universe.sources.items():
        source_type = types.get(str(settings.get("type") or name))
        if source_type is not None and issubclass(source_type.Settings, LibrarySettings):
            yield source_type.Settings.extra, f"source {name}"
    if universe.serve != ServeSettings():
        yield "serve", "`serve`"
    if universe.serve.cache:
        yield "redis", "`serve.cache`"
    if universe.limits:
        yield ("redis" if universe.limits.startswith("redis") else "postgres"), "`limits`"


def _other_releases(constraints: Path) -> Mapping[str, tuple[str, str]]:
    """The packages that are installed in another release than a file says."""
    lines = constraints.read_text(encoding="utf-8").splitlines()
    tests = [match.groups() for line in lines if (match := re.fullmatch(r"([\w.-]+)==(\S+)", line))]
    releases = [(name, _release(name), test) for name, test in tests]
    return {name: (has, test) for name, has, test in releases if has not in {None, test} and has}
