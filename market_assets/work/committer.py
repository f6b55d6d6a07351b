"""The thread that reads and writes the store, while the thread of the run reports what it has done.

DuckDB and polars let go of the interpreter's lock, so that both go on at once. What is committed,
and in which order, is its caller's business.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from market_assets.store.signals import HeldBack

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future
    from types import TracebackType

T = TypeVar("T")


class Committer:
    """Does one piece of work after another in a thread of its own; use it as a context manager.

    At its end the piece that is under way is waited for, so that a commit is whole or was never
    begun; those that have not begun are left out. A signal that stops the program is held back
    meanwhile, as in any block of the store.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="market-assets-commit")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        is_stopping = kind is not None and not issubclass(kind, (Exception, GeneratorExit))
        with HeldBack(is_stopping=is_stopping):
            self._pool.shutdown(cancel_futures=True)

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """Do a piece of work when those before it are done."""
        return self._pool.submit(work)

    def ahead(self, pieces: Iterable[Callable[[], T]]) -> Generator[T]:
        """What each piece of work comes to; the next one goes on while the caller has one.

        An exception of a piece is raised when its turn has come.
        """
        under_way: Future[T] | None = None
        for piece in pieces:
            following = self.begin(piece)
            if under_way is not None:
                yield under_way.result()
            under_way = following
        if under_way is not None:
            yield under_way.result()
