"""Values for Dagster's chart, and the manifest beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

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


def test_what_is_mounted_is_a_volume_that_the_manifest_makes(values, manifests) -> None:
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    volumes = {volume["name"] for volume in deployment["volumes"]}
    assert {mount["name"] for mount in deployment["volumeMounts"]} == volumes
    assert ("PersistentVolumeClaim", "market-assets") in manifests
    universe = manifests["ConfigMap", "market-assets"]["data"]["universe.yaml"]
    assert "${SERVE_TOKEN}" in universe


def test_the_server_is_on_the_node_of_the_code_server(manifests) -> None:
    pod = manifests["Deployment", "market-assets-serve"]["spec"]["template"]["spec"]
    (near,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert near["topologyKey"] == "kubernetes.io/hostname"
    (port,) = manifests["Service", "market-assets-serve"]["spec"]["ports"]
    assert port["port"] == 4001


def test_without_a_token_there_is_no_server(site) -> None:
    text = cluster(replace(site, has_token=False))["beside.yaml"]
    kinds = [document["kind"] for document in yaml.safe_load_all(text)]
    assert kinds == ["ConfigMap", "PersistentVolumeClaim"]


def test_no_secret_stands_in_a_file(site) -> None:
    texts = "".join(cluster(site).values())
    assert KEY not in texts
    assert TOKEN not in texts
