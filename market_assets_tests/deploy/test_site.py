"""What a universe needs where it is run."""

from __future__ import annotations


def test_every_variable_of_the_universe_is_named_also_two_with_one_value(site) -> None:
    assert site.secrets == ("ALPACA_KEY_ID", "ALPACA_SECRET", "SERVE_TOKEN")
    assert [variable.name for variable in site.variables if variable.is_needed] == [*site.secrets]


def test_a_stream_that_dagster_keeps_alive_has_no_service_of_its_own(site) -> None:
    assert site.streams == ("stocks",)


def test_a_lake_outside_the_home_is_written_too(site, tmp_path) -> None:
    assert site.folders == (tmp_path / "lake",)


def test_the_server_is_that_of_the_universe(site) -> None:
    assert (site.has_token, site.serve_port) == (True, 4001)
