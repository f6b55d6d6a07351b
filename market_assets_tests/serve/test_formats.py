"""Frames become pieces of an answer, one for each, in the form that is wanted."""

from __future__ import annotations

import io
import json

import polars as pl
import pytest

from market_assets.errors import ReadError
from market_assets.market.timeframes import TS
from market_assets.serve.formats import Format, encoded, format_wanted
from market_assets_tests.support.store_rows import at

FRAME = pl.DataFrame(
    {"symbol": ["BTC"], "ts": [at("2025-02-03T01:00")], "x": [float("nan")], "n": [None]},
    schema={"symbol": pl.String, "ts": TS, "x": pl.Float64, "n": pl.Int64},
)


def pieces_of(form, *frames):
    return list(encoded(form, frames, {"table": "t"}, lambda: "further"))


def test_json_has_null_for_what_is_no_number():
    body = b"".join(pieces_of(Format.JSON, FRAME.clear(), FRAME, FRAME))
    row = {"symbol": "BTC", "ts": "2025-02-03T01:00:00Z", "x": None, "n": None}

    assert json.loads(body) == {"table": "t", "data": [row, row], "next": "further"}
    empty = b"".join(pieces_of(Format.JSON, FRAME.clear()))
    assert json.loads(empty)["data"] == []


def test_csv_has_its_names_once():
    body = b"".join(pieces_of(Format.CSV, FRAME.clear(), FRAME))

    assert body == b"symbol,ts,x,n\nBTC,2025-02-03T01:00:00Z,NaN,\n"


@pytest.mark.parametrize(
    ("form", "read"), [(Format.PARQUET, pl.read_parquet), (Format.ARROW, pl.read_ipc_stream)]
)
def test_columns_have_their_types(form, read):
    pieces = pieces_of(form, FRAME.clear(), FRAME, FRAME)
    frame = read(io.BytesIO(b"".join(pieces)))

    assert len(pieces) == 4
    assert frame.schema["ts"] == pl.Datetime("us", "UTC")
    assert (len(frame), frame.schema["n"]) == (2, pl.Int64)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Format.JSON),
        ("*/*", Format.JSON),
        ("application/json", Format.JSON),
        ("text/csv;q=0.9, application/json;q=0.8", Format.CSV),
        ("text/html, application/vnd.apache.parquet", Format.PARQUET),
        ("application/vnd.apache.arrow.stream", Format.ARROW),
        ("text/csv;q=0, */*;q=0.1", Format.JSON),
    ],
)
def test_the_header_chooses_by_weight(accept, form):
    assert format_wanted(None, accept) is form
    assert format_wanted(Format.ARROW, accept) is Format.ARROW


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=x", ";;;", "application/json;q=0"])
def test_a_header_without_a_form_of_ours_is_refused(accept):
    with pytest.raises(ReadError) as refused:
        format_wanted(None, accept)
    assert refused.value.key == "format"
