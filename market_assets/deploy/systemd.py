"""Units for systemd: one for the pages and the daemon, one for the server, one for each stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from market_assets.config.places import UNIVERSE_VARIABLE
from market_assets.deploy.environment import example
from market_assets.home import HOME_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.deploy.site import Site

SETTINGS = Path("/etc/market-assets/environment")
"""Where the units take the variables from."""

_UNIT = """\
[Unit]
Description={description}
After=network-online.target{after}
Wants=network-online.target

[Service]
Type=exec
User={user}
Environment={home}
Environment={universe}
EnvironmentFile=-{settings}
ExecStart={program} {words}
Restart={restart}
RestartSec=5
KillMode=mixed
TimeoutStopSec=60

# What it may write: its home alone. What it may do: talk to vendors.
ReadWritePaths={folders}
UMask=0077
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def units(site: Site) -> Mapping[str, str]:
    """The units by the names of their files, and the variables that they take.

    Webserver and daemon are one unit: `market-assets up` watches both, and the code server that
    they share.
    """
    pages = f"up --host 127.0.0.1 --port {site.pages_port}"
    files = {
        "market-assets.service": _unit(site, "Market assets: pages and daemon", pages),
        "market-assets-serve.service": _unit(
            site,
            "Market assets: HTTP API",
            "serve",
            after="market-assets.service",
        ),
        "environment.example": example(site),
    }
    if site.streams:
        # One that has ended by itself, as after its longest time, begins anew.
        files["market-assets-stream@.service"] = _unit(
            site, "Market assets: stream of %i", "stream %i", restart="always"
        )
    return files


def _unit(
    site: Site, description: str, words: str, *, after: str = "", restart: str = "on-failure"
) -> str:
    folders = " ".join(_quoted(str(folder)) for folder in (site.home, *site.folders))
    return _UNIT.format(
        description=description,
        after=f" {after}" if after else "",
        user=site.user,
        home=_quoted(f"{HOME_VARIABLE}={site.home}"),
        universe=_quoted(f"{UNIVERSE_VARIABLE}={site.universe}"),
        settings=SETTINGS,
        program=_quoted(str(site.program).replace("$", "$$")),
        words=words,
        restart=restart,
        folders=folders,
    )


def _quoted(text: str) -> str:
    """A word of a unit as systemd reads it, whatever it holds."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if escaped != text or " " in text else text
