"""The Dockerfile and the compose file."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import yaml

from market_assets.deploy.containers import image, monitoring, stack
from market_assets_tests.deploy.conftest import KEY, TOKEN

SERVICE_KEYS = {
    *("image", "build", "restart", "env_file", "environment", "volumes", "read_only", "tmpfs"),
    *("cap_drop", "init", "security_opt", "stop_grace_period", "hostname", "command", "ports"),
    *("healthcheck", "depends_on", "profiles"),
}
"""The keys of the Compose Specification that are used here."""


@pytest.fixture
def compose(site):
    return yaml.safe_load(stack(site)["compose.yaml"])


def test_the_services_of_the_universe_and_those_that_can_stand_beside(compose) -> None:
    services = compose["services"]
    assert services.keys() == {
        *("up", "serve", "stream-stocks"),
        *("prometheus", "grafana", "redis", "postgres"),
    }
    always = [name for name, service in services.items() if "profiles" not in service]
    assert always == ["up", "serve"]
    for service in services.values():
        assert service.keys() <= SERVICE_KEYS


def test_a_server_that_is_not_wanted_needs_no_variable(site, compose) -> None:
    # Compose fills in all of the file before it looks at profiles.
    assert "${" not in stack(site)["compose.yaml"]
    assert compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"] is None
    assert "#POSTGRES_PASSWORD=" in stack(site)[".env.example"]


def test_every_container_names_its_program_as_the_image_has_no_entry_point(site, compose) -> None:
    steps = image()["Dockerfile"]
    assert "ENTRYPOINT" not in steps
    assert "PACKAGES" not in steps
    for name in ("up", "serve", "stream-stocks"):
        assert compose["services"][name]["command"][0] == "market-assets"
    assert "&id" not in stack(site)["compose.yaml"]


def test_what_a_service_mounts_is_declared_or_is_a_file_of_the_stack(site, compose) -> None:
    files = stack(site)
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            is_file = any(name.startswith(source.removeprefix("./")) for name in files)
            assert source in compose["volumes"] or is_file or source == str(site.universe)


def test_a_service_waits_for_services_that_are_there(compose) -> None:
    services = compose["services"]
    for service in services.values():
        assert service.get("depends_on", {}).keys() <= services.keys()


def test_no_two_services_take_one_port_of_the_machine(compose) -> None:
    ports = [
        port.rpartition(":")[0]
        for service in compose["services"].values()
        for port in service.get("ports", ())
    ]
    assert len(set(ports)) == len(ports)
    # Nothing is open to other machines before somebody wants that.
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_without_a_token_there_is_no_server_in_a_container(site) -> None:
    services = yaml.safe_load(stack(replace(site, has_token=False))["compose.yaml"])["services"]
    assert "serve" not in services


def test_no_secret_stands_in_a_file(site) -> None:
    texts = "".join([*stack(site).values(), *monitoring(site).values()])
    assert KEY not in texts
    assert TOKEN not in texts


def test_a_dollar_sign_of_a_path_is_no_variable_of_compose(site, tmp_path) -> None:
    odd = replace(site, universe=tmp_path / "a$b.yaml")
    text = stack(odd)["compose.yaml"]
    assert "a$$b.yaml" in text


def test_the_image_runs_as_a_user_without_rights_and_is_asked_how_it_is() -> None:
    steps = image()["Dockerfile"]
    assert re.search(r"^USER 10001:10001$", steps, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", steps, re.MULTILINE)
    assert steps.count("FROM python:3.11-slim") == 2
    # A command in the form of a list is JSON.
    for command in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", steps, re.MULTILINE):
        assert json.loads(command)


def test_prometheus_is_told_where_the_server_is_and_that_it_wants_a_token(site) -> None:
    job = yaml.safe_load(stack(site)["prometheus/prometheus.yml"])["scrape_configs"][0]
    assert job["static_configs"] == [{"targets": ["serve:4001"]}]
    assert job["authorization"] == {"credentials_file": "token"}
