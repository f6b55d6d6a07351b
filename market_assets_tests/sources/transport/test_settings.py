"""The keys of a source that speaks HTTP, and whose limit it shares."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from market_assets.sources.transport.settings import HttpSettings, limit_name
from market_assets.sources.vendors.binance import BinanceSettings
from market_assets_tests.support.servers import QUOTED

KEY = "tell-nobody-4711"


class TestWhoSharesALimit:
    def test_sources_of_one_address_and_one_key_share_it_and_another_key_has_its_own(self):
        def name(url: str = "https://api.example.com/v3", **keys: str) -> str:
            return limit_name(HttpSettings.model_validate({"base_url": url, "headers": keys}))

        assert name() == "api.example.com"
        assert name("https://API.example.com") == name()
        assert name("http://localhost:8765") == "localhost_8765"
        assert name(key=KEY) == name("https://api.example.com/v2", key=KEY)
        assert (
            len({name(), name(key=KEY), name(key="another"), name("https://example.com", key=KEY)})
            == 4
        )
        assert KEY not in name(key=KEY)

    def test_a_key_in_a_field_of_the_adapters_own_counts_too(self):
        class Settings(HttpSettings):
            key: SecretStr

        names = {
            limit_name(Settings(base_url="http://a.example", key=SecretStr(key)))
            for key in ("one", "two")
        }

        assert len(names) == 2
        assert Settings(base_url="http://a.example", key=SecretStr("one")).secrets() == {"one"}

    def test_the_server_that_a_limit_is_shared_through_makes_no_difference_to_who_shares_it(self):
        model = HttpSettings(
            base_url="http://a.example", limiter=SecretStr(f"redis://:{QUOTED}@a.example")
        )

        assert limit_name(model) == "a.example"
        assert QUOTED in next(iter(model.secrets()))
        assert QUOTED not in f"{model!r} {model.model_dump()} {model.model_dump_json()}"

    def test_a_source_has_one_place_for_its_limit(self):
        with pytest.raises(ValidationError, match="has both limiter and limiter_path"):
            HttpSettings.model_validate(
                {"base_url": "http://a.example", "limiter": "redis://b", "limiter_path": "c"}
            )


class TestWhatAnErrorSays:
    def test_settings_do_not_show_their_headers(self):
        settings = BinanceSettings.model_validate({"headers": {"X-Key": "s3cr3t-value"}})

        assert "s3cr3t" not in repr(settings) + str(settings.model_dump())

    def test_a_header_that_cannot_be_sent_is_refused_without_being_shown(self):
        for wrong in ("s3cr3t\r\nvalue", "s3cr3t\u2713"):
            with pytest.raises(ValidationError) as caught:
                BinanceSettings.model_validate({"headers": {"X-Key": wrong}})

            assert "s3cr3t" not in str(caught.value)


class TestClient:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"base_url": "ftp://example.com"},
            {"base_url": "example.com"},
            {"base_url": "https://me:s3cr3t@example.com"},
            {"base_url": "https://s3cr3t@example.com"},
            {"base_url": "https://example.com/v2?apiKey=s3cr3t"},
            {"base_url": "https://example.com/v2#s3cr3t"},
            {"rate": "fast"},
            {"rate": "0/s"},
            {"timeout": 0},
            {"retries": -1},
            {"concurrency": 0},
            {"keys": "x"},
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, wrong):
        with pytest.raises(ValidationError) as caught:
            HttpSettings.model_validate({"base_url": "http://example.com"} | wrong)

        assert "s3cr3t" not in str(caught.value)
