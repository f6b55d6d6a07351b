"""Values for Dagster's own Helm chart, and what stands beside it in a cluster.

DuckDB has one file, and its locks hold on one node. So every process that opens it is in one pod
or on the node of that pod: the chart's code server, which also runs the runs
(`DefaultRunLauncher`), and the HTTP API. Pages and daemon ask the code server, and open no store.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

from market_assets.config.places import UNIVERSE_VARIABLE
from market_assets.deploy.containers import (
    COMMAND,
    HOME_INSIDE,
    UNIVERSE_INSIDE,
    USER_INSIDE,
    image,
    yaml_of,
)
from market_assets.deploy.environment import example
from market_assets.home import HOME_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.deploy.site import Site

_NAME = "market-assets"
_SECRET = "market-assets-secrets"  # noqa: S105 - its name
_UNIVERSE = "market-assets-universe"
"""The secret with the universe file, which may hold a key itself."""

_CODE_PORT = 3030
_LABELS = {"app.kubernetes.io/name": "market-assets-serve"}


def cluster(site: Site) -> Mapping[str, str]:
    """The values of the chart, a manifest of what it lacks, and what the image is built from."""
    return {
        # The chart keeps Dagster's records in PostgreSQL, and the runs write them.
        **image("dagster-postgres"),
        "values.yaml": yaml_of(_values(site)),
        "beside.yaml": yaml_of(*_beside(site)),
        ".env.example": example(site),
    }


def _values(site: Site) -> dict[str, Any]:
    deployment = {
        "name": _NAME,
        "image": {"repository": _NAME, "tag": "latest", "pullPolicy": "IfNotPresent"},
        "codeServerArgs": ["-m", "market_assets.definitions"],
        "port": _CODE_PORT,
        "env": _environment(),
        "envSecrets": [{"name": _SECRET}] if site.secrets else [],
        "volumes": _volumes(),
        "volumeMounts": _mounts(),
        "podSecurityContext": _pod_security(),
        "securityContext": _security(),
        # The runs are its children.
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        "includeConfigInLaunchedRuns": {"enabled": False},
    }
    return {
        "dagster-user-deployments": {
            "enabled": True,
            "enableSubchart": True,
            "deployments": [deployment],
        },
        "runLauncher": {
            "type": "CustomRunLauncher",
            "config": {
                "customRunLauncher": {
                    "module": "dagster",
                    "class": "DefaultRunLauncher",
                    "config": {},
                }
            },
        },
        "dagsterDaemon": {"runRetries": {"enabled": False}},
        "postgresql": {"enabled": True},
        **_instance(),
    }


def _instance() -> dict[str, Any]:
    """What the chart calls otherwise of our dagster.yaml: which runs wait for which, and no spy.

    Without it, two fills of a profile would run at once.
    """
    instance = yaml.safe_load(files("market_assets").joinpath("dagster.yaml").read_text())
    pools, runs = instance["concurrency"]["pools"], instance["concurrency"]["runs"]
    ticks = {
        kind: {"purgeAfterDays": content["purge_after_days"]}
        for kind, content in instance["retention"].items()
    }
    return {
        "concurrency": {
            "enabled": True,
            "pools": {"granularity": pools["granularity"], "defaultLimit": pools["default_limit"]},
            "runs": {
                "maxConcurrentRuns": runs["max_concurrent_runs"],
                "tagConcurrencyLimits": runs["tag_concurrency_limits"],
            },
        },
        "retention": {"enabled": True, **ticks},
        "telemetry": instance["telemetry"],
    }


def _beside(site: Site) -> list[dict[str, Any]]:
    """The volume, and the HTTP API where a token guards it."""
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": _NAME},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "50Gi"}},
            },
        },
    ]
    if site.has_token:
        documents += [_serve(site), _service(site)]
    return documents


def _serve(site: Site) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/health", "port": site.serve_port}, "periodSeconds": 20}
    container = {
        "name": "serve",
        "image": f"{_NAME}:latest",
        "imagePullPolicy": "IfNotPresent",
        "args": [COMMAND, "serve", "--host", "0.0.0.0"],  # noqa: S104 - its pod's
        "ports": [{"containerPort": site.serve_port}],
        "env": [{"name": name, "value": value} for name, value in _environment().items()],
        "envFrom": [{"secretRef": {"name": _SECRET, "optional": True}}],
        "volumeMounts": _mounts(),
        "securityContext": _security(),
        "livenessProbe": probe,
        "readinessProbe": probe,
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
    }
    near = {
        "labelSelector": {"matchLabels": {"deployment": _NAME}},
        "topologyKey": "kubernetes.io/hostname",
    }
    pod = {
        "containers": [container],
        "volumes": _volumes(),
        "securityContext": _pod_security(),
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "market-assets-serve", "labels": _LABELS},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": pod},
        },
    }


def _service(site: Site) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "market-assets-serve", "labels": _LABELS},
        "spec": {
            "selector": _LABELS,
            "ports": [{"port": site.serve_port, "targetPort": site.serve_port}],
        },
    }


def _environment() -> dict[str, str]:
    return {HOME_VARIABLE: HOME_INSIDE, UNIVERSE_VARIABLE: UNIVERSE_INSIDE}


def _volumes() -> list[dict[str, Any]]:
    return [
        {"name": "data", "persistentVolumeClaim": {"claimName": _NAME}},
        {"name": "universe", "secret": {"secretName": _UNIVERSE}},
        {"name": "tmp", "emptyDir": {}},
    ]


def _mounts() -> list[dict[str, Any]]:
    folder, _, _ = UNIVERSE_INSIDE.rpartition("/")
    return [
        {"name": "data", "mountPath": HOME_INSIDE},
        {"name": "universe", "mountPath": folder, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
    ]


def _pod_security() -> dict[str, Any]:
    return {"runAsUser": USER_INSIDE, "runAsGroup": USER_INSIDE, "fsGroup": USER_INSIDE}


def _security() -> dict[str, Any]:
    return {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
