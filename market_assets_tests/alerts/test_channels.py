"""Messages over a real SMTP server and a real webhook."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from apprise.decorators import notify

from market_assets.alerts import channels
from market_assets.alerts.channels import channels_of, send, try_channels
from market_assets.alerts.message import Message
from market_assets.alerts.troubles import Level
from market_assets.config.services import AlertSettings
from market_assets_tests.support.alerts_ground import universe_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from market_assets.config.universe import Universe
    from market_assets_tests.support.alerts_ground import MailServer, Webhook

MESSAGE = Message("a title", "line <one> & more\n\n  two", Level.ERROR)


@pytest.fixture
def closed() -> str:
    """A webhook that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"json://somebody:hunter2-and-more@127.0.0.1:{free.getsockname()[1]}/hook/token-4711"


def unchecked(folder: Path, *channels: str) -> Universe:
    """A universe with channels that no file may name."""
    return universe_of(folder).model_copy(update={"alerts": AlertSettings(channels=channels)})


def test_a_message_arrives_as_it_was_written_by_mail_and_at_a_webhook(
    tmp_path: Path, mail: MailServer, hook: Webhook
) -> None:
    universe = universe_of(tmp_path, mail.url, hook.url)
    first, second = channels_of(universe)
    assert send({first: [MESSAGE], second: [MESSAGE]}, universe) == {
        "mailto #1": [""],
        "json #1": [""],
    }
    assert mail.titles == hook.titles == ["a title"]
    assert mail.bodies[0].replace("\r\n", "\n").strip() == hook.bodies[0] == MESSAGE.body
    assert (mail.messages[0]["To"], mail.messages[0]["From"]) == (
        "desk@example.org",
        mail.messages[0]["From"],
    )
    assert hook.messages[0]["type"] == "failure"


def test_a_channel_is_shown_by_its_scheme_and_its_place_only(tmp_path: Path, closed: str) -> None:
    universe = unchecked(
        tmp_path, closed, "tgram://123456789:secrettoken/42", closed, "no address at all"
    )
    named = channels_of(universe)
    assert [channel.name for channel in named] == ["json #1", "tgram #1", "json #2", "channel #1"]
    assert "token" not in repr(named)
    assert "token" not in repr(universe)


def test_one_that_fails_hinders_no_other_and_its_error_holds_nothing_of_its_url(
    tmp_path: Path, mail: MailServer, closed: str
) -> None:
    universe = unchecked(tmp_path, closed, mail.url, "foo://token-4711")
    sent = send({channel: [MESSAGE, MESSAGE] for channel in channels_of(universe)}, universe)
    assert sent["mailto #1"] == ["", ""]
    assert len(mail.messages) == 2
    assert sent["foo #1"] == 2 * ["apprise does not understand its URL"]
    assert "onnection error" in sent["json #1"][0]
    for secret in ("127.0.0.1", "hunter2", "token-4711", "somebody"):
        assert secret not in str(sent)


def test_a_refusal_is_a_failure(tmp_path: Path, mail: MailServer, hook: Webhook) -> None:
    mail.refuse, hook.status = True, 503
    universe = universe_of(tmp_path, mail.url, hook.url)
    sent = send({channel: [MESSAGE] for channel in channels_of(universe)}, universe)
    assert all(errors[0] for errors in sent.values())
    assert "503" in sent["json #1"][0]


def test_a_message_that_is_too_long_for_its_service_is_cut_at_its_end(
    tmp_path: Path, hook: Webhook
) -> None:
    universe = universe_of(tmp_path, hook.url)
    long = Message("a title", "\n".join(f"line {n}" for n in range(9000)), None)
    assert send({channel: [long] for channel in channels_of(universe)}, universe) == {
        "json #1": [""]
    }
    assert 30_000 < len(hook.bodies[0]) <= 32_768
    assert hook.bodies[0].startswith("line 0\nline 1\n")


def test_what_the_environment_filled_in_is_shown_by_its_name(tmp_path: Path, hook: Webhook) -> None:
    url = hook.url.replace("token-4711", "${HOOK_TOKEN}")
    universe = universe_of(tmp_path, url, secrets={"HOOK_TOKEN": "s3cr3t-value"})
    assert "s3cr3t" not in repr(universe.alerts)
    assert try_channels(universe) == {"json #1": ""}
    assert hook.messages


def test_without_a_channel_nothing_is_sent(tmp_path: Path) -> None:
    assert try_channels(universe_of(tmp_path)) == {}


def test_a_plugin_that_raises_is_a_failure_and_loses_no_other_message(
    tmp_path: Path, hook: Webhook
) -> None:
    @notify(on="boom")
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    universe = universe_of(tmp_path, "boom://somewhere", hook.url)
    sent = send({channel: [MESSAGE] for channel in channels_of(universe)}, universe)
    assert (bool(sent["boom #1"][0]), sent["json #1"]) == (True, [""])


class Dripper:
    """A server that answers every connection with a letter now and then, and never to its end."""

    def __init__(self) -> None:
        self.asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self._listener.getsockname()[1]}/hook"

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.asked += 1
            threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    def _drip(self, connection: socket.socket) -> None:
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while not self._stopped.wait(0.02):
                connection.sendall(b"a")

    def stop(self) -> None:
        self._stopped.set()
        self._listener.close()


@pytest.fixture
def dripper() -> Iterator[Dripper]:
    server = Dripper()
    yield server
    server.stop()


def test_a_server_that_drips_its_answer_holds_nobody_past_the_deadline_and_is_not_asked_meanwhile(
    tmp_path: Path, dripper: Dripper, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "DEADLINE", 0.5)
    universe = universe_of(tmp_path, dripper.url, hook.url)
    wanted = {channel: [MESSAGE, MESSAGE] for channel in channels_of(universe)}
    begun = time.monotonic()
    first, second = send(wanted, universe), send(wanted, universe)
    assert time.monotonic() - begun < 5
    assert first["json #2"] == second["json #2"] == ["", ""]
    assert first["json #1"] == 2 * ["no answer within 0.5 s"]
    assert second["json #1"] == 2 * ["an earlier message is still on its way"]
    assert (len(hook.messages), dripper.asked) == (4, 1)


def test_who_has_no_news_to_send_loads_neither_apprise_nor_dagster() -> None:
    code = (
        "import sys, market_assets.alerts; print(sorted({'apprise', 'dagster', "
        "'pandas'} & set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )
