"""Python, the packages, the extras, and the releases that were tested."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.doctor.findings import Finding, State
from market_assets.words import listed, many

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from market_assets.doctor.facts import Need, Software

_MOST = 5
"""Packages that a sentence names."""


def check_software(software: Software) -> Iterator[Finding]:
    """Judge the interpreter and the packages."""
    yield _python(software)
    yield _packages(software)
    yield from _extras(software)
    yield _releases(software)


def _python(software: Software) -> Finding:
    if software.python_fits:
        return Finding("python", State.OK, software.python)
    return Finding(
        "python",
        State.FAIL,
        f"{software.python}, and market-assets needs {software.pythons}",
        f"make a new environment with a Python {software.pythons}, and install there",
    )


def _packages(software: Software) -> Finding:
    if lacks := _lacks(software.needs):
        return Finding(
            "packages", State.FAIL, listed(lacks, _MOST), "pip install --upgrade market-assets"
        )
    return Finding("packages", State.OK, f"{many(len(software.needs), 'package')} as needed")


def _extras(software: Software) -> Iterator[Finding]:
    whole = []
    for extra, needs in software.extras.items():
        lacks = _lacks(needs)
        if not lacks:
            whole.append(extra)
        elif extra in software.wanted_extras:
            user = software.wanted_extras[extra]
            yield Finding(
                f"extra {extra}",
                State.FAIL,
                f"{user} needs it: {listed(lacks, _MOST)}",
                f"pip install 'market-assets[{extra}]'",
            )
    for extra in sorted(software.wanted_extras.keys() - software.extras.keys()):
        yield Finding(
            f"extra {extra}",
            State.WARN,
            f"{software.wanted_extras[extra]} needs it, and the installed package is older than it",
            f"pip install --upgrade 'market-assets[{extra}]', "
            f"or in a clone pip install -e '.[{extra}]'",
        )
    absent = [extra for extra in software.extras if extra not in whole]
    yield Finding(
        "extras",
        State.OK,
        f"installed: {listed(whole)}; not installed: {listed(absent)}",
    )


def _releases(software: Software) -> Finding:
    if software.tests is None:
        return Finding("releases", State.SKIP, "constraints.txt is not here")
    if not software.tests:
        return Finding("releases", State.OK, "those of constraints.txt")
    differences = [f"{name} {has} (tested {test})" for name, (has, test) in software.tests.items()]
    return Finding(
        "releases",
        State.WARN,
        f"others than in constraints.txt: {listed(differences, _MOST)}",
        "where something goes wrong: pip install -c constraints.txt market-assets",
    )


def _lacks(needs: Iterable[Need]) -> list[str]:
    return [
        f"{need.package} is not installed"
        if need.release is None
        else f"{need.package} {need.release} is not {need.releases}"
        for need in needs
        if not need.fits
    ]
