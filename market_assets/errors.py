"""The errors that this package raises on purpose, and the words of an error.

Each message says what was wrong and what to do next.
"""

import traceback

_EXCERPT = 200
"""Letters of a strange error that are shown."""


class MarketAssetsError(Exception):
    """Base of every error that this package raises on purpose."""


class UniverseError(MarketAssetsError):
    """The universe file cannot be used.

    Attributes:
        path: The file, or the part of it that is meant.
        problems: One sentence per problem, each starting with its path in the file.
    """

    def __init__(self, path: object, problems: list[str]) -> None:
        self.path = path
        self.problems = problems
        lines = "\n".join(f"  - {problem}" for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{path}: {count}\n{lines}")


class StarterError(MarketAssetsError):
    """No first universe can be written of what was asked for.

    Attributes:
        key: The option or argument at fault, such as `--symbols`.
    """

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(f"{key}: {message}")


class ClockError(MarketAssetsError):
    """The environment sets a clock that cannot be read, or the store contradicts the machine's."""


class CalendarError(MarketAssetsError):
    """A calendar is unknown, cannot be built or changed, or does not know the years of a window."""


class SourceError(MarketAssetsError):
    """A source could not answer for a window.

    Attributes:
        permanent: True when asking the same again cannot help (unknown symbol, refused key).
        retry_after: Seconds for which the vendor, in its answer, asks to be left alone; None where
            it says nothing.
        of_machine: True when whoever asks from here is refused, whatever is asked for: a block of
            the country, a portal.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        retry_after: float | None = None,
        of_machine: bool = False,
    ) -> None:
        self.permanent = permanent
        self.retry_after = retry_after
        self.of_machine = of_machine
        super().__init__(printable(message))


def printable(text: str) -> str:
    """A text that others have written, fit for every terminal, file and database.

    Half a surrogate pair cannot be encoded, and control characters would steer a terminal.
    """
    if text.isprintable():
        return text
    return "".join(map(_printable, text))


def first_line(error: BaseException) -> str:
    """The first line of an error's words, or the name of its class where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def reason_of(error: MarketAssetsError) -> str:
    """What an error says where nobody has to do anything: it is tried again by itself."""
    return error.reason if isinstance(error, StoreBusyError) else str(error)


def error_words(error: BaseException) -> str:
    """The class of an error and what it says, printable and on one line: at most 200 letters."""
    words = printable(" ".join(str(error).split())[:_EXCERPT])
    return f"{type(error).__name__}: {words}"


def trace_words(error: BaseException) -> str:
    """An error's trace, printable line by line, for logs: its words may be somebody else's."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(map(printable, lines))


def _printable(sign: str) -> str:
    if sign.isprintable():
        return sign
    return " " if sign.isspace() else "\N{REPLACEMENT CHARACTER}"


class ReadError(MarketAssetsError):
    """What a reader asks for does not exist, or cannot be asked for.

    Attributes:
        key: The parameter at fault, such as `symbols`; empty where it is none of them.
        absent: True where what is asked for does not exist; False where the question is at fault.
    """

    def __init__(self, message: str, *, key: str = "", absent: bool = False) -> None:
        self.key = key
        self.absent = absent
        super().__init__(message)


class ExportError(MarketAssetsError):
    """The lake's folder cannot be written, is in use, or is not this store's."""


class StoreError(MarketAssetsError):
    """The DuckDB store cannot be opened, read or written."""


class StoreBusyError(StoreError):
    """Somebody else has had the store, or its file, for as long as this was willing to wait.

    Attributes:
        reason: Who, without a next step: for what tries again by itself.
    """

    def __init__(self, reason: str, next_step: str = "") -> None:
        self.reason = reason
        super().__init__(f"{reason} {next_step}" if next_step else reason)


class StreamBusyError(MarketAssetsError):
    """Another process streams the same candles of this home."""


class UpError(MarketAssetsError):
    """The platform cannot be started here: port, address, home folder or another one that runs."""


class ServeError(MarketAssetsError):
    """The HTTP API cannot be started, or cannot do what it is asked for now.

    Attributes:
        key: The parameter or the setting at fault; empty where it is none.
        busy: True where the same may be had a moment later.
    """

    def __init__(self, message: str, *, key: str = "", busy: bool = False) -> None:
        self.key = key
        self.busy = busy
        super().__init__(message)


class DeployError(MarketAssetsError):
    """Files for a deployment cannot be made or written."""


class PlatformError(MarketAssetsError):
    """Dagster's pages cannot be reached, or refuse what they are asked for."""
