"""The terminal: the same operations as in the UI.

Commands show their progress, and have `--json` and exit codes for scripts. A command is the module
of its name in `commands`; what several of them share stands beside this file.
"""

from __future__ import annotations

import copy
import gc
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup, TyperOption

from market_assets.cli.console import ERR
from market_assets.cli.faults import is_expected, keep_trace, sentence_of, trace_of
from market_assets.cli.garbage import search_seldom
from market_assets.config.places import UNIVERSE_VARIABLE
from market_assets.home import HOME_VARIABLE
from market_assets.private import keep_private

_EVERYWHERE = {"home": HOME_VARIABLE, "universe": UNIVERSE_VARIABLE}
"""The options that stand before a command or after it, and what else sets the same."""

_COMPLETING = "_MARKET_ASSETS_COMPLETE"
"""The variable by which a shell asks what may follow: see `market_assets.cli.completion`."""

COMMANDS = (
    "init",
    "up",
    "backfill",
    "repair",
    "stream",
    "status",
    "gaps",
    "list",
    "tail",
    "jobs",
    "genesis",
    "alerts",
    "returns",
    "export",
    "usage",
    "prune",
    "snapshot",
    "serve",
    "mcp",
    "deploy",
    "doctor",
    "validate",
    "forget",
    "sources",
    "probe",
    "inspect",
    "practice-vendor",
)
"""The commands in the order of the help: each is the module of its name in `commands`."""


class CommandTable(Mapping[str, TyperCommand]):
    """The commands by name; the module of each is imported when the command is looked at.

    Args:
        shared: The options that each command has beside its own.
    """

    def __init__(self, shared: Sequence[TyperOption]) -> None:
        self._shared = shared
        self._commands: dict[str, TyperCommand] = {}

    def __getitem__(self, name: str) -> TyperCommand:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._commands:
            self._commands[name] = self._made(name)
        return self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def _made(self, name: str) -> TyperCommand:
        function = name.replace("-", "_")
        module = import_module(f"market_assets.cli.commands.{function}")
        alone = typer.Typer(add_completion=False)
        # No function can have the name of a built-in one that its module uses.
        alone.command(name)(getattr(module, "list_assets" if name == "list" else function))
        command = cast("TyperCommand", typer.main.get_command(alone))
        # The lines of a docstring are not those of a terminal.
        command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", command.help or "")

        for parameter in self._shared:
            option = copy.copy(parameter)
            # It has done its work when its callback was called.
            option.expose_value = False
            command.params.append(option)
        return command


class Commands(TyperGroup):
    """The commands, each with the options of all of them."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(**options)
        shared = [
            parameter
            for parameter in self.params
            if isinstance(parameter, TyperOption) and parameter.name in _EVERYWHERE
        ]
        self.commands = CommandTable(shared)  # type: ignore[assignment] # nobody adds one

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - typer's own
        """The names of the commands, without a look at what they are."""
        return list(self.commands)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own
        """Run a command; Ctrl-C ends it with a sentence."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            ERR.print(*stopped.args or ("Stopped.",))
            raise


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _set(parameter: typer.CallbackParam, path: Path | None) -> Path | None:
    if path is not None:
        os.environ[_EVERYWHERE[parameter.name or ""]] = str(path.expanduser().absolute())
    return path


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"market-assets {version('market-assets')}")  # noqa: T201 - the answer
        raise typer.Exit


@app.callback()
def everywhere(
    home: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where everything is that is written; "
            "MARKET_ASSETS_HOME, or ./data, if not given.",
            callback=_set,
            rich_help_panel="Options of every command",
        ),
    ] = None,
    universe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What is kept; MARKET_ASSETS_UNIVERSE, or simulated markets, if not given.",
            callback=_set,
            rich_help_panel="Options of every command",
        ),
    ] = None,
    wanted: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Keeps market candles complete, and proves it."""


class _Told(logging.Handler):
    """Shows log lines on standard error, above what is drawn there of the progress."""

    def emit(self, record: logging.LogRecord) -> None:
        ERR.print(escape(self.format(record)), highlight=False, soft_wrap=True)


def main() -> NoReturn:
    """Run the terminal.

    An error that ends a command is shown in one sentence, and its trace is kept in a log.
    """
    handler = _Told()
    logging.basicConfig(format="%(message)s", level=logging.WARNING, handlers=[handler])
    # Dagster's handler, which a run adds to this logger, writes the run's id before every message
    # that comes after it.
    logger = logging.getLogger("market_assets")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    keep_private()
    search_seldom()
    try:
        app()
    except Exception as error:  # noqa: BLE001 - nobody is to see a trace; it is kept
        # A shell that completes a line would write what is said into it.
        if _COMPLETING not in os.environ:
            _tell(error)
        sys.exit(1)
    finally:
        # A process that ends looks three times for garbage.
        gc.freeze()
    sys.exit(0)


def _tell(error: Exception) -> None:
    # As it is written: what is wrong may be the folder's name.
    home = Path(os.environ.get(HOME_VARIABLE) or "data").expanduser().absolute()
    words = sentence_of(error, home)
    if words is None:
        words = f"this is a fault of market_assets, not yours: {type(error).__name__}: {error}"
    if not is_expected(error):
        log = keep_trace(trace_of(error), home)
        words += (
            f"\nThe trace is in {log}"
            if log
            else "\nThe trace could not be kept: no log can be written."
        )
    ERR.print(f"[bold red]error[/] {escape(words)}", highlight=False, soft_wrap=True)
