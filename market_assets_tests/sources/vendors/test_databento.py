"""Databento through its client.

The tests cover recorded answers, requests, the reach of a dataset, and refusals.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from traceback import format_exception
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
import zstandard
from databento import DBNStore
from pydantic import ValidationError

from market_assets.config.load import load_universe
from market_assets.errors import SourceError, UniverseError
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import CANDLE_SCHEMA, source_types, venue_of
from market_assets.sources.vendors.databento import DatabentoSettings, DatabentoSource, read_dbn
from market_assets_tests.support.wire import MINUTE, QUICK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl

# The client's own use of aiohttp.
pytestmark = pytest.mark.filterwarnings(
    "ignore:BasicAuth is deprecated", "ignore:The 'auth' parameter is deprecated"
)

KEY = "db-tell-nobody-4711"
START = datetime(2026, 1, 9, 20, 55, tzinfo=UTC)
ES = "futures_ohlcv-1m_2026-01-09T20-55_2026-01-09T21-05.dbn.zst"
RANGE = {
    "start": "2010-06-06T00:00:00.000000000Z",
    "end": "2026-01-10T00:00:00.000000000Z",
    "schema": {
        "ohlcv-1m": {
            "start": "2010-06-06T00:00:00.000000000Z",
            "end": "2026-01-09T21:30:00.123456789Z",
        }
    },
}


@dataclass
class Gateway:
    """The vendor; an instance is a handler of the server.

    Attributes:
        answers: Status, headers and body of the answers for bars, one after another, the last for
            ever.
        reach: What it says of the dataset's range.
        log: Path and form of each request.
        keys: Who asked.
    """

    answers: list[tuple[int, dict[str, str], bytes]]
    reach: tuple[int, Any] = (200, RANGE)
    log: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        first, *lines = request.decode().strip().split("\r\n")
        headers = dict(
            line.lower().split(": ", 1)
            if ":" not in line
            else (line.split(": ", 1)[0].lower(), line.split(": ", 1)[1])
            for line in lines
        )
        _, path, _ = first.split()
        self.keys.add(base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode())
        if path.startswith("/v0/metadata"):
            status, said, body = self.reach[0], {}, json.dumps(self.reach[1]).encode()
        else:
            reader: asyncio.StreamReader = writer._transport.get_protocol()._stream_reader
            form = await reader.readexactly(int(headers["content-length"]))
            self.log.append((path, dict(parse_qsl(form.decode()))))
            status, said, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        head = [
            f"HTTP/1.1 {status} X",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        head += [f"{name}: {value}" for name, value in said.items()]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)


@pytest.fixture(autouse=True)
def _gateway_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client makes https of every address."""
    monkeypatch.setattr("databento.historical.client.validate_gateway", lambda url: url)


@pytest.fixture
def recorded(shared: Path) -> Callable[[str], bytes]:
    return lambda name: (shared / "wire" / "databento" / name).read_bytes()


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., DatabentoSource]:
    def build(url: str = "http://127.0.0.1:9", **keys: Any) -> DatabentoSource:
        given = QUICK | {"base_url": url, "key": KEY, "dataset": "GLBX.MDP3"} | keys
        return DatabentoSource(
            "mine", DatabentoSettings.model_validate(given), base=tmp_path, kind="futures"
        )

    return build


def ask(source: DatabentoSource, symbol: str = "ESH6", *, bars: int = 10) -> pl.DataFrame:
    async def fetch() -> pl.DataFrame:
        async with source:
            return await source.fetch(symbol, Timeframe.M1, START, START + bars * MINUTE)

    return asyncio.run(fetch())


def without_records(body: bytes) -> bytes:
    """An answer with the head of another one, and nothing behind it.

    The head says itself how long it is.
    """
    whole = zstandard.ZstdDecompressor().stream_reader(body).read()
    return zstandard.compress(whole[: 8 + int.from_bytes(whole[4:8], "little")])


class TestRecordedAnswers:
    @pytest.mark.parametrize(
        "name",
        [
            ES,
            "ESH1_ohlcv-1m.dbn.zst",
            "EQUS.MINI_test_data.ohlcv-1m.dbn.zst",
            "XNAS.ITCH_test_data.ohlcv-1m.dbn.zst",
        ],
    )
    def test_each_price_is_the_double_nearest_to_its_decimal(self, recorded, name):
        records = list(DBNStore.from_bytes(recorded(name)))

        frame = read_dbn(recorded(name))

        assert frame.schema == CANDLE_SCHEMA
        assert frame["ts"].to_physical().to_list() == [
            record.ts_event // 1000 for record in records
        ]
        for column in ("open", "high", "low", "close"):
            decimals = [Decimal(getattr(record, column)) / 10**9 for record in records]
            assert frame[column].to_list() == [float(str(each)) for each in decimals]
        assert frame["volume"].to_list() == [float(record.volume) for record in records]
        assert len(frame) > 0

    def test_an_answer_without_a_record_is_empty(self, recorded):
        assert read_dbn(without_records(recorded(ES)), symbol="ESH6").equals(
            CANDLE_SCHEMA.to_frame()
        )

    def test_bars_of_another_length_are_an_error(self, recorded):
        with pytest.raises(SourceError, match="the answer is of ohlcv-1h, not of ohlcv-1m"):
            read_dbn(recorded("ESH1_ohlcv-1h.dbn.zst"))

    def test_bars_of_several_exchanges_are_an_error(self, recorded):
        with pytest.raises(SourceError, match="bars of several exchanges") as caught:
            read_dbn(recorded("OPRA.PILLAR_test_data.ohlcv-1m.dbn.zst"))

        assert caught.value.permanent

    def test_bars_of_several_instruments_are_an_error(self, recorded):
        body = recorded("futures_ohlcv-1m_2024-05-09T09-55_2024-05-09T10-05.dbn.zst")

        with pytest.raises(SourceError, match="several bars for one minute"):
            read_dbn(body)
        with pytest.raises(SourceError, match="the answer is about ESM4, NQM4"):
            read_dbn(body, symbol="ESM4")

    @pytest.mark.parametrize("cut", [0, 3, 60, 300])
    def test_an_answer_that_was_cut_off_is_an_error(self, recorded, cut):
        with pytest.raises(SourceError, match="the answer cannot be read"):
            read_dbn(recorded(ES)[:cut])

    @pytest.mark.parametrize("body", [b"{}", b"<html>", b"\x28\xb5\x2f\xfd garbage"])
    def test_what_is_no_dbn_is_an_error(self, body):
        with pytest.raises(SourceError, match="the answer cannot be read"):
            read_dbn(body)


class TestRequests:
    def test_a_window_is_asked_for_and_read(self, recorded, serve, build):
        gateway = Gateway([(200, {}, recorded(ES))])
        source = build(serve(gateway).url)

        frame = ask(source)

        assert frame["ts"].to_list() == [
            (START + n * MINUTE).replace(tzinfo=None) for n in range(10)
        ]
        assert frame.row(0)[1:] == (7009.75, 7010.0, 7007.5, 7008.0, 6784.0)
        ((path, form),) = gateway.log
        assert path == "/v0/timeseries.get_range"
        assert (
            form.items()
            >= {
                "dataset": "GLBX.MDP3",
                "schema": "ohlcv-1m",
                "symbols": "ESH6",
                "stype_in": "raw_symbol",
                "start": "2026-01-09T20:55:00+00:00",
                "end": "2026-01-09T21:05:00+00:00",
            }.items()
        )
        assert gateway.keys == {f"{KEY}:"}
        assert (source.usage.requests, source.usage.bytes) == (1, len(recorded(ES)))

    def test_what_lies_outside_the_window_is_left_out(self, recorded, serve, build):
        assert len(ask(build(serve(Gateway([(200, {}, recorded(ES))])).url), bars=3)) == 3

    def test_an_answer_about_another_symbol_is_an_error(self, recorded, serve, build):
        gateway = Gateway([(200, {}, recorded(ES))])

        with pytest.raises(SourceError, match=r"source mine: ESM6 1m .* the answer is about ESH6"):
            ask(build(serve(gateway).url, retries=0), "ESM6")

    def test_continuous_series_are_asked_for_as_such_and_are_another_venue(
        self, recorded, serve, build
    ):
        gateway = Gateway([(200, {}, recorded(ES))])

        with pytest.raises(SourceError, match="the answer is about ESH6"):
            ask(build(serve(gateway).url, stype_in="continuous", retries=0), "ES.v.0")

        assert gateway.log[0][1]["stype_in"] == "continuous"
        settings = {"key": KEY, "dataset": "GLBX.MDP3"}
        names = [
            venue_of(
                DatabentoSource,
                DatabentoSettings.model_validate(settings | {"stype_in": each}),
                "futures",
            )
            for each in ("raw_symbol", "continuous")
        ]
        assert names == ["glbx.mdp3", "glbx.mdp3-continuous"]


class TestReach:
    def test_it_is_what_the_key_may_have_of_the_dataset_and_is_asked_for_once(self, serve, build):
        server = serve(Gateway([]))
        source = build(server.url)

        windows = {source.answers_for(symbol, Timeframe.M1) for symbol in ("ESH6", "NQH6")}

        assert windows == {
            Window(datetime(2010, 6, 6, tzinfo=UTC), datetime(2026, 1, 9, 21, 30, tzinfo=UTC))
        }
        assert len(server.requests) == source.usage.requests == 1

    @pytest.mark.parametrize(
        "reach", [{}, [], {"start": "soon", "end": "later"}, {"start": "2020-01-01"}]
    )
    def test_an_answer_that_is_none_is_an_error(self, serve, build, reach):
        with pytest.raises(
            SourceError, match=r"source mine: the range of GLBX\.MDP3: the answer is none"
        ):
            build(serve(Gateway([], reach=(200, reach))).url).answers_for("ESH6", Timeframe.M1)

    def test_a_refused_key_is_permanent_and_not_shown(self, serve, build):
        said = {
            "detail": {
                "case": "auth_invalid",
                "message": f"{KEY} is wrong",
                "docs": "https://databento.com/docs",
            }
        }

        with pytest.raises(SourceError, match=r"HTTP 401: auth_invalid \*\*\* is wrong") as caught:
            build(serve(Gateway([], reach=(401, said))).url).answers_for("ESH6", Timeframe.M1)

        assert caught.value.permanent
        assert KEY not in "".join(format_exception(caught.value))

    def test_a_server_that_says_nothing_is_left_in_time(self, serve, build):
        async def silent(_request: bytes, _writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        with pytest.raises(SourceError, match=r"no answer after 0\.1 s"):
            build(serve(silent).url, total_timeout=0.1).answers_for("ESH6", Timeframe.M1)

    def test_one_that_does_not_say_it_is_not_asked_for_each_symbol(self, serve, build):
        server = serve(Gateway([], reach=(503, {})))
        source = build(server.url)

        for symbol in ("ESH6", "NQH6", "ESM6"):
            with pytest.raises(SourceError, match="HTTP 503"):
                source.answers_for(symbol, Timeframe.M1)

        assert len(server.requests) == 1

    def test_a_server_that_is_not_there_is_an_error(self, build):
        with pytest.raises(SourceError, match="broken connection") as caught:
            build().answers_for("ESH6", Timeframe.M1)

        assert not caught.value.permanent


class TestRefusals:
    def refused(self, status, words="no", **headers):
        return status, headers, json.dumps({"detail": words}).encode()

    def test_what_passes_is_asked_for_again(self, recorded, serve, build):
        good = (200, {}, recorded(ES))
        gateway = Gateway([self.refused(503), (200, {}, recorded(ES)[:60]), good])
        source = build(serve(gateway).url)

        assert len(ask(source)) == 10
        assert source.usage.retries == 2

    @pytest.mark.parametrize("status", [400, 401, 403, 422])
    def test_what_does_not_pass_is_permanent_and_shows_no_key(self, serve, build, status):
        gateway = Gateway([self.refused(status, f"data_end_after_available_end {KEY}")])

        with pytest.raises(
            SourceError, match=rf"HTTP {status}: data_end_after_available_end \*\*\*"
        ) as caught:
            ask(build(serve(gateway).url))

        assert caught.value.permanent
        assert KEY not in str(caught.value)
        assert len(gateway.log) == 1

    def test_a_retry_after_is_obeyed(self, serve, build):
        gateway = Gateway([(429, {"Retry-After": "77"}, b'{"detail": "slow down"}')])

        with pytest.raises(
            SourceError, match=r"left alone for another 7[67] s.*HTTP 429: slow down"
        ):
            ask(build(serve(gateway).url))

    def test_a_server_that_says_nothing_is_left_in_time(self, serve, build):
        async def silent(_request: bytes, _writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        with pytest.raises(SourceError, match=r"was not complete after 0\.2 s"):
            ask(build(serve(silent).url, retries=0, total_timeout=0.2))

    def test_an_answer_that_is_too_long_is_an_error(self, recorded, serve, build):
        with pytest.raises(SourceError, match="more than max_body"):
            ask(build(serve(Gateway([(200, {}, recorded(ES))])).url, max_body=100))


class TestUniverse:
    UNIVERSE = """
    sources: {{databento: {{key: "${{DATABENTO_KEY}}", {keys}}}}}
    profiles:
      futures:
        kind: {kind}
        start: 2024-01-01
        timeframes: {{fetch: [{timeframe}]}}
        sources: [databento]
        symbols: {{ESH6: {{}}}}
    """

    def load(self, folder, keys="dataset: GLBX.MDP3", kind="FUTURES", timeframe="1m"):
        path = folder / "universe.yaml"
        path.write_text(self.UNIVERSE.format(keys=keys, kind=kind, timeframe=timeframe))
        return load_universe(path, environ={"DATABENTO_KEY": KEY})

    def test_it_is_found_by_its_name_and_its_key_is_not_shown(self, tmp_path):
        assert KEY not in repr(self.load(tmp_path))
        assert source_types()["databento"] is DatabentoSource

    def test_a_library_that_is_missing_is_told_when_the_universe_is_loaded(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "databento", None)

        with pytest.raises(
            UniverseError, match=r"databento: pip install 'market-assets\[databento\]'"
        ):
            self.load(tmp_path)

    @pytest.mark.parametrize(
        "keys",
        [
            {"kind": "FOREX"},
            {"kind": "CRYPTO"},
            {"timeframe": "1h"},
            {"timeframe": "1d"},
            {"keys": "dataset: glbx"},
            {"keys": ""},
        ],
    )
    def test_what_it_does_not_serve_is_refused(self, tmp_path, keys):
        with pytest.raises(UniverseError):
            self.load(tmp_path, **keys)

    def test_a_key_is_shown_to_nobody(self):
        with pytest.raises(ValidationError) as caught:
            DatabentoSettings.model_validate({"key": KEY})
        assert KEY not in str(caught.value)
