"""The OpenAPI document says all that is answered: random requests find nothing that it does not."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from market_assets_tests.support.serve_ground import TOKEN, StandStill

WITHOUT_PARAMETERS = {"GET /v1/health", "GET /v1/ready", "GET /v1/metrics"}
LASTING = "GET /v1/events"
"""It answers for as long as it is asked to: test_events does."""

NO_JSON = {"/v1/metrics", "/v1/events"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def guarded(filled):
    """A client of a server with a token, over a Dagster that takes every run and starts none."""
    keys, environ = 'token: "${SERVE_TOKEN}"', {"SERVE_TOKEN": TOKEN}
    with filled.served(keys, environ=environ, platform=StandStill(), token=TOKEN) as client:
        yield client


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_is_asked_for_the_answer_is_as_described(guarded, mode):
    url = f"{str(guarded.base_url).rstrip('/')}/v1/openapi.json"
    document = schemathesis.openapi.from_url(url, headers=BEARER)
    operations = [result.ok() for result in document.get_all_operations()]
    assert len(operations) == 20

    for operation in operations:
        if mode is GenerationMode.NEGATIVE and operation.label in WITHOUT_PARAMETERS:
            continue
        if operation.label == LASTING:
            continue

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
        def check(case):
            case.call_and_validate(headers=BEARER)

        check()


def test_every_route_has_a_summary_a_model_and_its_problems(guarded):
    document = guarded.get("/v1/openapi.json").json()

    for path, methods in document["paths"].items():
        assert path.startswith("/v1/")
        for operation in methods.values():
            assert operation["summary"]
            good = [status for status in operation["responses"] if status < "300"]
            for status in good:
                content = operation["responses"][status]["content"]
                assert path in NO_JSON or "$ref" in content["application/json"]["schema"], path
    assert document["paths"]["/v1/health"]["get"]["security"] == []
    assert document["security"] == [{"token": []}]


def test_rows_are_described_in_each_of_their_forms(guarded):
    document = guarded.get("/v1/openapi.json").json()
    content = document["paths"]["/v1/candles"]["get"]["responses"]["200"]["content"]

    assert set(content) == {
        "application/json",
        "text/csv",
        "application/vnd.apache.parquet",
        "application/vnd.apache.arrow.stream",
    }


def test_no_page_asks_another_host(guarded):
    assert {guarded.get(path).status_code for path in ("/docs", "/redoc")} == {404}
