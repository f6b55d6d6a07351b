"""Writes the files with which others run and watch this universe."""

from __future__ import annotations

import getpass
import shlex
import sys
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from market_assets.cli.console import OUT, print_json
from market_assets.cli.options import AsJson
from market_assets.cli.places import universe_here
from market_assets.home import home
from market_assets.imports import late_imports

with late_imports():
    from market_assets.deploy.containers import image, monitoring, stack
    from market_assets.deploy.files import place
    from market_assets.deploy.kubernetes import cluster
    from market_assets.deploy.site import site_of
    from market_assets.deploy.systemd import units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.deploy.site import Site


class Target(StrEnum):
    """What the files are for."""

    SYSTEMD = "systemd"
    COMPOSE = "compose"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"
    GRAFANA = "grafana"


_UNIVERSE = (
    "kubectl create secret generic market-assets-universe --from-file=universe.yaml={universe}"
)
_HELM = "helm upgrade --install dagster dagster/dagster -f {folder}/values.yaml --version {dagster}"

_STEPS = {
    Target.SYSTEMD: (
        "sudo cp {folder}/*.service /etc/systemd/system/",
        "sudo install -D -m 600 {folder}/environment.example /etc/market-assets/environment",
        "sudo systemctl enable --now market-assets market-assets-serve",
    ),
    Target.COMPOSE: (
        "cp {folder}/.env.example {folder}/.env",
        "docker compose --project-directory {folder} up --build --detach",
    ),
    Target.DOCKER: ("docker build --tag market-assets {folder}",),
    Target.KUBERNETES: (
        "docker build --tag market-assets {folder}",
        "cp {folder}/.env.example {folder}/.env",
        "kubectl create secret generic market-assets-secrets --from-env-file={folder}/.env",
        _UNIVERSE,
        "kubectl apply -f {folder}/beside.yaml",
        "helm repo add dagster https://dagster-io.github.io/helm",
        _HELM,
    ),
    Target.GRAFANA: (
        "promtool check rules {folder}/market_assets.rules.yml",
        "Grafana: Dashboards, New, Import, {folder}/market-assets.dashboard.json",
    ),
}


def deploy(
    target: Annotated[Target, typer.Argument(help="What the files are for.")],
    folder: Annotated[
        Path | None,
        typer.Argument(help="Where they are written; they are printed if it is not given."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="The user of the machine who runs it; you, if not given. For systemd."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that have another text.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write what systemd, compose, Docker and others need to run this universe, or to watch it.

    No secret stands in a file: they name the variables of the environment that the universe names.
    """
    universe = universe_here(quiet=True)
    program = Path(sys.executable).parent / "market-assets"
    site = site_of(universe, home().absolute(), program.absolute(), user=user or getpass.getuser())
    files = _files(target, site)
    if folder is None:
        _print_files(files, as_json=as_json)
        return
    placed = place(files, folder, force=force)
    steps = _steps(target, folder, site)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "written": placed.written,
                "unchanged": placed.unchanged,
                "next": steps,
            }
        )
        return
    for name in placed.written:
        _print(f"[green]written[/] {escape(str(folder / name))}")
    for name in placed.unchanged:
        _print(f"[dim]as it was[/] {escape(str(folder / name))}")
    if not site.has_token and target in {Target.COMPOSE, Target.KUBERNETES}:
        _print(
            "[yellow]without the HTTP API[/]: in a container it wants a token; "
            "add `serve: {token: ${SERVE_TOKEN}}` to the universe and write again"
        )
    _print("Next:")
    for step in steps:
        _print(f"  {escape(step)}")


def _steps(target: Target, folder: Path, site: Site) -> list[str]:
    """What to do next, with the folders that systemd wants to be there before it starts a unit."""
    words = {
        "folder": shlex.quote(str(folder)),
        "universe": shlex.quote(str(site.universe)),
        "dagster": version("dagster"),
    }
    steps = [step.format(**words) for step in _STEPS[target]]
    if target is not Target.SYSTEMD:
        return steps
    lacking = [path for path in (site.home, *site.folders) if not path.is_dir()]
    return [
        *(f"sudo install -d -m 700 -o {site.user} {shlex.quote(str(path))}" for path in lacking),
        *steps,
    ]


def _print(line: str) -> None:
    OUT.print(line, highlight=False, soft_wrap=True)


def _files(target: Target, site: Site) -> Mapping[str, str]:
    makers = {
        Target.SYSTEMD: units,
        Target.COMPOSE: stack,
        Target.DOCKER: lambda _: image(),
        Target.KUBERNETES: cluster,
        Target.GRAFANA: monitoring,
    }
    return makers[target](site)


def _print_files(files: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        print_json({"files": files})
        return
    for name, text in files.items():
        print(f"# ---- {name}\n{text}")  # noqa: T201 - the answer
