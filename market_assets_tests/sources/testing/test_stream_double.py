"""What stands in for a vendor's stream answers by itself."""

from __future__ import annotations

import json

from market_assets.market.timeframes import Timeframe
from market_assets.sources.streaming import Refused
from market_assets.sources.testing import StreamDouble
from market_assets_tests.sources.testing.test_stream_checks import Example, ExampleStream


def test_a_double_of_the_simplest_kind_answers_by_itself():
    class Simple(Example):
        answer = StreamDouble.answer

        def refuse(self, message, symbol, words):  # noqa: ARG002
            return json.dumps({"event": "refused", "symbol": symbol, "words": words, "final": True})

    message = {"op": "subscribe", "args": ["1m:BTC/USD", "1m:ETH/USD"]}

    assert [*Simple().answer(message)] == [*Example().accept(message)]
    (refusal,) = Simple({"ETH/USD": True}).answer(message)
    assert ExampleStream(Timeframe.M1).read(refusal) == [
        Refused(("ETH/USD",), "no candles of ETH/USD for you", permanent=True)
    ]
