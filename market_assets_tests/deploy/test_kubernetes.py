"""Values for Dagster's chart, and the manifest beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from market_assets.defs.keys import AUTOMATIC_TAG, STREAM_TAG
from market_assets.deploy.kubernetes import cluster
from market_assets_tests.deploy.conftest import KEY, TOKEN


@pytest.fixture
def values(site):
    return yaml.safe_load(cluster(site)["values.yaml"])


@pytest.fixture
def manifests(site):
    documents = yaml.safe_load_all(cluster(site)["beside.yaml"])
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def test_one_code_server_has_the_volume_and_runs_the_runs(values) -> None:
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    assert deployment["codeServerArgs"] == ["-m", "market_assets.definitions"]
    assert deployment["envSecrets"] == [{"name": "market-assets-secrets"}]
    launcher = values["runLauncher"]["config"]["customRunLauncher"]
    assert (launcher["module"], launcher["class"]) == ("dagster", "DefaultRunLauncher")


def test_the_runs_of_a_cluster_wait_for_each_other_as_elsewhere(values) -> None:
    concurrency = values["concurrency"]
    assert concurrency["enabled"] is True
    assert concurrency["pools"] == {"granularity": "run", "defaultLimit": 1}
    keys = {limit["key"] for limit in concurrency["runs"]["tagConcurrencyLimits"]}
    assert {AUTOMATIC_TAG, STREAM_TAG} <= keys
    assert values["telemetry"] == {"enabled": False}
    assert values["retention"]["sensor"]["purgeAfterDays"]["skipped"] == 1


def test_the_image_can_be_a_code_server_of_the_chart(site, manifests) -> None:
    # The chart gives `dagster code-server start` as arguments, and Dagster's records are elsewhere.
    steps = cluster(site)["Dockerfile"]
    assert "ENTRYPOINT" not in steps
    assert " dagster-postgres\n" in steps
    (server,) = manifests["Deployment", "market-assets-serve"]["spec"]["template"]["spec"][
        "containers"
    ]
    assert server["args"][:2] == ["market-assets", "serve"]


def test_a_key_that_stands_in_the_universe_stands_in_no_file(site) -> None:
    site.universe.write_text(site.universe.read_text().replace("${ALPACA_SECRET}", KEY))
    texts = "".join(cluster(site).values())
    assert KEY not in texts


def test_what_is_mounted_is_a_volume_that_the_manifest_makes(values, manifests) -> None:
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    volumes = {volume["name"] for volume in deployment["volumes"]}
    assert {mount["name"] for mount in deployment["volumeMounts"]} == volumes
    assert ("PersistentVolumeClaim", "market-assets") in manifests


def test_the_server_is_on_the_node_of_the_code_server(manifests) -> None:
    pod = manifests["Deployment", "market-assets-serve"]["spec"]["template"]["spec"]
    (near,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert near["topologyKey"] == "kubernetes.io/hostname"
    (port,) = manifests["Service", "market-assets-serve"]["spec"]["ports"]
    assert port["port"] == 4001


def test_without_a_token_there_is_no_server(site) -> None:
    text = cluster(replace(site, has_token=False))["beside.yaml"]
    kinds = [document["kind"] for document in yaml.safe_load_all(text)]
    assert kinds == ["PersistentVolumeClaim"]


def test_no_secret_stands_in_a_file(site) -> None:
    texts = "".join(cluster(site).values())
    assert KEY not in texts
    assert TOKEN not in texts
