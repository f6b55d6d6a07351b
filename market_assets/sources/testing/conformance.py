"""All checks of a source in one class, and those of its stream in another, to inherit from."""

from __future__ import annotations

from market_assets.sources.testing.checks.declarations import DeclarationChecks
from market_assets.sources.testing.checks.frames import FrameChecks
from market_assets.sources.testing.checks.secrets import SecretChecks
from market_assets.sources.testing.checks.subscriptions import SubscriptionChecks
from market_assets.sources.testing.checks.troubles import TroubleChecks
from market_assets.sources.testing.checks.windows import WindowChecks


class SourceConformance(WindowChecks, TroubleChecks, SecretChecks, DeclarationChecks):
    """What every source that asks over HTTP has to do.

    Inherit it in a test file and name the vendor's double; pytest, or any runner that calls the
    methods `test_...` of an instance each, does the rest. A check that does not fit a vendor is
    overridden, with the reason in the docstring.

    ```python
    class TestBitstamp(SourceConformance):
        vendor = Bitstamp
    ```

    Attributes:
        vendor: The class of the vendor's double, or a double.
    """


class StreamConformance(SubscriptionChecks, FrameChecks):
    """What every stream of live candles has to do: see `SourceConformance`.

    ```python
    class TestGateStream(StreamConformance):
        vendor = GateDouble
    ```

    Attributes:
        vendor: The class of the double of the vendor's stream; each connection has one of its own.
    """
