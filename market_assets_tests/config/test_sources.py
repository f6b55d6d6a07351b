"""The sources of a universe, as they are built for a run."""

from __future__ import annotations

from market_assets.config.load import load_universe
from market_assets.config.sources import source_of
from market_assets.sources.transport.shared_limit import SharedLimit
from market_assets.sources.vendors.binance import BinanceSource
from market_assets_tests.support.servers import QUOTED

KEY = "tell-nobody-4711"


class TestWhoSharesALimit:
    def test_a_server_for_a_universes_sources_is_written_once(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MARKET_ASSETS_HOME", str(tmp_path / "home"))
        path = tmp_path / "universe.yaml"
        path.write_text("""
limits: ${LIMITS_URL}
sources:
  binance: {}
  other: {type: binance, limiter: "redis://other.example"}
  own: {type: binance, limiter_path: counts/mine.sqlite}
  okx: {type: ccxt, exchange: okx}
  moved: {type: ccxt, exchange: okx, base_url: "http://a.example"}
  yahoo: {}
  practice: {}
profiles:
  crypto: {kind: CRYPTO, start: 2025-01-01, timeframes: {fetch: [1m]}, sources: [binance],
           symbols: {BTC: {}}}
""")
        url = f"postgresql://me:{QUOTED}@db.example/limits"
        universe = load_universe(path, environ={"LIMITS_URL": url})

        limits = {
            name: source_of(universe, name, kind="crypto")._http.limit for name in universe.sources
        }

        assert isinstance(limits["binance"], SharedLimit)
        assert (limits["binance"]._url, limits["binance"]._key) == (url, "data-api.binance.vision")
        libraries = ("okx", "moved", "yahoo")
        assert [limits[name]._key for name in libraries] == [
            "ccxt-okx",
            "a.example",
            "finance.yahoo.com",
        ]
        assert limits["other"]._url == "redis://other.example"
        assert limits["own"]._path == tmp_path / "counts" / "mine.sqlite"
        # Nobody else asks the vendor that a practice source starts for itself.
        assert limits["practice"]._path == tmp_path / "home" / "limits" / "practice.sqlite"
        assert QUOTED not in f"{universe!r} {universe.model_dump()}"
        assert universe.redact(f"asked {url}") == "asked ${LIMITS_URL}"

    def test_a_universes_sources_keep_it_in_the_home_folder_unless_they_say_where(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("MARKET_ASSETS_HOME", str(tmp_path / "home"))
        path = tmp_path / "universe.yaml"
        path.write_text("""
sources:
  binance: {}
  keyed: {type: binance, headers: {X-Key: "${SOME_KEY}"}}
  same: {type: binance, headers: {X-Key: "${SOME_KEY}"}, rate: 5/s}
  own: {type: binance, limiter_path: counts/mine.sqlite}
  practice: {}
  archive: {path: "{symbol}.csv"}
profiles:
  crypto: {kind: CRYPTO, start: 2025-01-01, timeframes: {fetch: [1m]}, sources: [binance],
           symbols: {BTC: {}}}
""")
        universe = load_universe(path, environ={"SOME_KEY": KEY})

        found = {
            name: source._http.limit._path
            for name in universe.sources
            if isinstance(source := source_of(universe, name, kind="crypto"), BinanceSource)
        }

        limits = tmp_path / "home" / "limits"
        assert found["binance"] == limits / "data-api.binance.vision.sqlite"
        assert found["keyed"] == found["same"] != found["binance"]
        assert found["own"] == tmp_path / "counts" / "mine.sqlite"
        assert found["practice"] == limits / "practice.sqlite"
