"""A Dockerfile, and a compose file with the servers that can stand beside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from market_assets.config.places import UNIVERSE_VARIABLE
from market_assets.deploy.environment import example
from market_assets.deploy.monitoring import dashboard, rules, scrape
from market_assets.deploy.site import Variable
from market_assets.home import HOME_VARIABLE
from market_assets.up.options import PAGES_PORT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.deploy.site import Site

HOME_INSIDE, UNIVERSE_INSIDE = "/data", "/etc/market-assets/universe.yaml"
"""Where the home folder and the universe file are in a container."""

USER_INSIDE = 10001
COMMAND = "market-assets"
"""First of the words of every container: the image has no entry point of its own, as Dagster's
chart gives it `dagster code-server start` whole."""

_DOCKERFILE = f"""\
# docker build --tag market-assets .
# Wheels that no index has stand in wheels/: pip wheel --no-deps --wheel-dir wheels FOLDER
FROM python:3.11-slim AS build
ARG REQUIREMENT="market-assets[serve,redis,postgres]"
RUN python -m venv /opt/market-assets
COPY wheels/ /wheels/
RUN /opt/market-assets/bin/pip install --no-cache-dir --find-links /wheels \\
    "${{REQUIREMENT}}"PACKAGES

FROM python:3.11-slim
RUN useradd --uid {USER_INSIDE} --user-group --create-home market-assets \\
    && install --directory --owner={USER_INSIDE} --group={USER_INSIDE} --mode=0700 {HOME_INSIDE}
COPY --from=build /opt/market-assets /opt/market-assets
ENV PATH="/opt/market-assets/bin:$PATH" \\
    PYTHONUNBUFFERED=1 \\
    {HOME_VARIABLE}={HOME_INSIDE} \\
    {UNIVERSE_VARIABLE}={UNIVERSE_INSIDE}
USER {USER_INSIDE}:{USER_INSIDE}
VOLUME {HOME_INSIDE}
EXPOSE {PAGES_PORT} 3001
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \\
    CMD ["python", "-c", "import urllib.request as web; \\
web.urlopen('http://127.0.0.1:{PAGES_PORT}/server_info', timeout=4)"]
CMD ["market-assets", "up", "--host", "0.0.0.0", "--port", "{PAGES_PORT}"]
"""

_IGNORED = """\
*
!wheels/
"""

_POSTGRES_PASSWORD = Variable(
    "POSTGRES_PASSWORD", "", "The password of `--profile postgres`, which does not start without."
)
_IMAGES = {
    "redis": "redis:7-alpine",
    "postgres": "postgres:16-alpine",
    "prometheus": "prom/prometheus:v3.5.0",
    "grafana": "grafana/grafana:12.1.0",
}


def image(*packages: str) -> Mapping[str, str]:
    """What an image is built from.

    Args:
        packages: Those that are installed beside the product.
    """
    dockerfile = _DOCKERFILE.replace("PACKAGES", "".join(f" {package}" for package in packages))
    return {"Dockerfile": dockerfile, ".dockerignore": _IGNORED, "wheels/.gitkeep": ""}


def stack(site: Site) -> Mapping[str, str]:
    """A compose file and all that it mounts.

    `docker compose up` starts the platform and its server; `--profile prometheus`, `grafana`,
    `redis` and `postgres` start what can stand beside.
    """
    return {
        **image(),
        "compose.yaml": yaml_of(_compose(site)),
        ".env.example": example(site, _POSTGRES_PASSWORD),
        **{f"prometheus/{name}": text for name, text in watch(site, "serve").items()},
        "grafana/dashboards/market-assets.json": _dashboard_text(),
        "grafana/provisioning/dashboards/market-assets.yml": yaml_of(_DASHBOARDS),
        "grafana/provisioning/datasources/prometheus.yml": yaml_of(_DATA_SOURCES),
    }


def monitoring(site: Site) -> Mapping[str, str]:
    """What a Prometheus and a Grafana that are there already take: rules, dashboard, and a job."""
    return {
        **watch(site, "127.0.0.1"),
        "market-assets.dashboard.json": _dashboard_text(),
    }


def _dashboard_text() -> str:
    return json.dumps(dashboard(), indent=2) + "\n"


def watch(site: Site, host: str) -> Mapping[str, str]:
    """The configuration of a Prometheus and its rules.

    Args:
        site: Where the server listens, and whether it wants a token.
        host: Its name there.
    """
    return {
        "prometheus.yml": yaml_of(scrape(f"{host}:{site.serve_port}", has_token=site.has_token)),
        "market_assets.rules.yml": yaml_of(rules()),
    }


def _compose(site: Site) -> dict[str, Any]:
    shared: dict[str, Any] = {
        "image": "market-assets",
        "build": ".",
        "restart": "unless-stopped",
        "env_file": [{"path": ".env", "required": bool(site.secrets)}],
        # Inside they are elsewhere than on this machine.
        "environment": {HOME_VARIABLE: HOME_INSIDE, UNIVERSE_VARIABLE: UNIVERSE_INSIDE},
        "volumes": ["data:/data", f"{_plain(str(site.universe))}:{UNIVERSE_INSIDE}:ro"],
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - in the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "stop_grace_period": "60s",
        # Runs whose code server has died are children of the first process, which must bury them.
        "init": True,
    }
    services: dict[str, Any] = {
        "up": {
            **shared,
            "hostname": "market-assets-up",
            "command": [COMMAND, "up", "--host", "0.0.0.0", "--port", str(PAGES_PORT)],  # noqa: S104
            "ports": [f"127.0.0.1:{site.pages_port}:{PAGES_PORT}"],
        },
    }
    if site.has_token:
        # In its container it listens for other ones, which wants a token.
        services["serve"] = {
            **shared,
            "hostname": "market-assets-serve",
            "command": [COMMAND, "serve", "--host", "0.0.0.0"],  # noqa: S104
            "ports": [f"127.0.0.1:{site.serve_port}:{site.serve_port}"],
            "healthcheck": _asks(f"http://127.0.0.1:{site.serve_port}/health"),
            "depends_on": {"up": {"condition": "service_healthy"}},
        }
    for profile in site.streams:
        services[f"stream-{profile}"] = {
            **shared,
            "hostname": f"market-assets-stream-{profile}",
            "command": [COMMAND, "stream", profile],
            "healthcheck": {"disable": True},
            "profiles": ["stream"],
        }
    return {
        "name": "market-assets",
        "services": {**services, **_beside()},
        "volumes": {"data": {}, "prometheus": {}, "grafana": {}, "redis": {}, "postgres": {}},
    }


def _beside() -> dict[str, Any]:
    """The servers that can stand beside, each started by the profile of its name."""
    services: dict[str, Any] = {
        "prometheus": {
            "volumes": ["./prometheus:/etc/prometheus:ro", "prometheus:/prometheus"],
            "ports": ["127.0.0.1:9090:9090"],
        },
        "grafana": {
            "volumes": [
                "./grafana/provisioning:/etc/grafana/provisioning:ro",
                "./grafana/dashboards:/var/lib/grafana/dashboards:ro",
                "grafana:/var/lib/grafana",
            ],
            "ports": ["127.0.0.1:3003:3000"],
        },
        "redis": {"volumes": ["redis:/data"]},
        "postgres": {
            "environment": {
                "POSTGRES_USER": "market_assets",
                "POSTGRES_DB": "market_assets",
                # Taken from .env. Compose would want a `${...:?}` without this profile, too.
                _POSTGRES_PASSWORD.name: None,
            },
            "volumes": ["postgres:/var/lib/postgresql/data"],
        },
    }
    for name, service in services.items():
        service |= {
            "image": _IMAGES[name],
            "restart": "unless-stopped",
            "profiles": [name] if name != "prometheus" else ["prometheus", "grafana"],
        }
    return services


def _asks(url: str) -> dict[str, Any]:
    code = f"import urllib.request as web; web.urlopen('{url}', timeout=4)"
    return {
        "test": ["CMD", "python", "-c", code],
        "interval": "30s",
        "timeout": "5s",
        "start_period": "30s",
    }


def _plain(text: str) -> str:
    """A text in which compose fills nothing in."""
    return text.replace("$", "$$")


def yaml_of(*documents: object) -> str:
    """Documents as people write them: what is said twice stands there twice."""
    return yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=100)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's
        """Never name a value with `&id001`."""
        return True


_DASHBOARDS = {
    "apiVersion": 1,
    "providers": [
        {
            "name": "Market assets",
            "type": "file",
            "options": {"path": "/var/lib/grafana/dashboards"},
        }
    ],
}
_DATA_SOURCES = {
    "apiVersion": 1,
    "datasources": [
        {
            "name": "Prometheus",
            "type": "prometheus",
            "url": "http://prometheus:9090",
            "isDefault": True,
        }
    ],
}
