"""A mail server and a webhook on this machine, and universes that tell them."""

from __future__ import annotations

import email
import json
import socket
import threading
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import yaml
from aiosmtpd.controller import Controller

from market_assets.config.load import load_universe

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path

    from market_assets.config.universe import Universe


class MailServer:
    """A real SMTP server; `refuse` makes it turn every message down."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.refuse = False
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    # Aiosmtpd's name.
    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refuse:
            return "554 not now"
        self.messages.append(email.message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    @property
    def url(self) -> str:
        return (
            f"mailto://127.0.0.1:{self.port}?from=alerts@example.org&to=desk@example.org"
            "&mode=insecure&format=text"
        )

    @property
    def titles(self) -> list[str]:
        return [str(message["Subject"]) for message in self.messages]

    @property
    def bodies(self) -> list[str]:
        return [message.get_body(("plain",)).get_content() for message in self.messages]

    def stop(self) -> None:
        self._controller.stop()


class Webhook:
    """A real HTTP server that takes apprise's JSON; `status` is what it answers."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        self.asked = 0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.asked += 1
                if hook.status == 200:
                    hook.messages.append(content)
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self._server.server_address[1]}/hook/token-4711"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]

    @property
    def bodies(self) -> list[str]:
        return [message["message"] for message in self.messages]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def universe_of(
    folder: Path, *channels: str, secrets: dict[str, str] | None = None, **profile: object
) -> Universe:
    """A universe with one profile, `kept`: hours of two symbols, from 2025-02-01 on.

    The market is open round the clock.
    """
    kept = {
        "kind": "CRYPTO",
        "start": "2025-02-01",
        "timeframes": {"fetch": ["1h"], "derive": ["1d"]},
        "sources": ["practice"],
        "symbols": {"BTC": {}, "ETH": {}},
        **profile,
    }
    path = folder / "universe.yaml"
    written = {
        "sources": {"practice": {}},
        "profiles": {"kept": kept},
        "alerts": {"channels": list(channels)},
    }
    path.write_text(yaml.safe_dump(written))
    return load_universe(path, environ=secrets or {})
