"""A secret is sent to the vendor and shown to nobody, whatever the vendor does with it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from itertools import repeat
from traceback import format_exception
from typing import TYPE_CHECKING

from pydantic import ValidationError

from market_assets.sources.testing.checks.base import Checks
from market_assets.sources.testing.checks.surroundings import log_lines, secrets_in
from market_assets.sources.testing.server import LoopbackServer, Reply
from market_assets.sources.testing.trial import unopened, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets.errors import SourceError
    from market_assets.sources.testing.exchange import Trouble
    from market_assets.sources.testing.server import Request


class SecretChecks(Checks):
    """What a source lets others see of its keys."""

    def test_a_refused_key_is_permanent_and_the_error_says_so(self) -> None:
        """401: to ask again with the same key is no use."""
        self._secrets()
        refusal = self.double.refuse("the key is wrong").body

        error = self._error(lambda _request, _reply: Reply(401, refusal))

        verify(error.permanent, f"a refused key is not said to be `permanent`: {error}")
        verify("401" in str(error) or "key" in str(error), f"the error does not say why: {error}")

    def test_a_secret_that_the_vendor_repeats_is_shown_nowhere(self) -> None:
        """Not in the error, nor in its causes, nor in the log, in any of the spellings."""
        for trouble in self._echoes():
            with log_lines() as lines:
                error = self._error(trouble)

            self._verify_unseen("the error", repr(error), str(error))
            self._verify_unseen("the traceback", *format_exception(error))
            self._verify_unseen("the log", *lines)

    def test_a_secret_is_not_in_the_settings_that_are_shown(self) -> None:
        """Declare a key as `HeaderSecret` or `SecretStr`."""
        self._secrets()
        model = self.double.source.Settings.model_validate(
            {**self.double.settings, "base_url": "http://127.0.0.1:9"}
        )
        with unopened(self.trial([])) as source:
            self._verify_unseen("the source", repr(source), str(source))
        self._verify_unseen("the settings", repr(model), str(model), model.model_dump_json())

    def test_a_secret_is_not_in_the_error_of_settings_that_are_refused(self) -> None:
        """A universe that is wrong is shown with its fault, not with its keys."""
        self._secrets()
        try:
            self.double.source.Settings.model_validate({**self.double.settings, "bogus": 1})
        except ValidationError as error:
            self._verify_unseen("the error of the settings", str(error))

    def test_a_secret_is_not_in_the_address(self) -> None:
        """Addresses are logged by proxies and servers: a key belongs into a header or a body."""
        candles = self.candles(10)
        trial = self.trial(candles)
        self._secrets()
        trial.fetch(candles[0].ts, candles[5].ts)

        for request in trial.exchange.requests:
            self._verify_unseen("the address", request.text.partition("\r\n")[0])

    def test_a_secret_does_not_follow_a_redirect(self) -> None:
        """What shows the vendor who asks is sent to no other host."""
        secrets = self._secrets()
        with LoopbackServer(lambda _request: Reply(404)) as elsewhere:
            reply = Reply(307, headers={"Location": f"{elsewhere.url}/there"})

            self._error(lambda _request, _reply: reply)

            texts = [request.text for request in elsewhere.requests]
        for secret in secrets:
            packed = b64encode(f"{secret}:".encode()).decode()
            verify(
                not any(secret in text or packed in text for text in texts),
                "a secret was sent to the host that a redirect named",
            )

    def _echoes(self) -> Iterator[Trouble]:
        """Replies with all that the vendor was sent."""

        def echo(status: int) -> Trouble:
            return lambda request, _reply: Reply(status, {"message": request.text})

        yield from map(echo, (200, 400, 401, 403, 429, 500))
        yield lambda request, _reply: self.double.refuse(request.text[-150:])
        yield lambda request, _reply: Reply(403, f"<html><title>{request.text}".encode())
        yield lambda request, _reply: Reply(
            302, headers={"Location": f"http://127.0.0.1:9/{_secret_line(request)}"}
        )
        yield lambda request, reply: replace(reply, body=request.text.encode(), cut=30)

    def _error(self, trouble: Trouble) -> SourceError:
        candles = self.candles(5)
        given = {"retries": 0} if self.retries else {}
        trial = self.trial(candles, troubles=repeat(trouble), settings=given)
        return trial.fetch(candles[0].ts, candles[4].ts).error()

    def _secrets(self) -> frozenset[str]:
        """The secrets among the settings of the double."""
        model = self.double.source.Settings.model_validate(
            {**self.double.settings, "base_url": "http://127.0.0.1:9"}
        )
        secrets = secrets_in(model)
        self.needs(secrets, "the double's settings hold no secret")
        return secrets

    def _verify_unseen(self, place: str, *texts: str) -> None:
        for secret in self._secrets():
            verify(not any(secret in text for text in texts), f"a secret is seen in {place}")


def _secret_line(request: Request) -> str:
    """The headers and the body that show the vendor who asks, as a part of an address."""
    lines = request.text.split("\r\n")[1:]
    dull = ("host:", "accept", "user-agent:", "connection:", "content-")
    return "+".join(line for line in lines if not line.lower().startswith(dull)).replace(" ", "+")
