"""The kinds of market, and what each presets: the calendar and the price rules.

What a profile can set otherwise stands in `settings`.
"""

from __future__ import annotations

from enum import StrEnum

from market_assets.config.values import Model


class PriceRules(Model):
    """What a price and a volume may be.

    Attributes:
        positive: Prices must be above zero; a future may settle at zero or below it.
        volume_optional: A null volume is fine.
        real_volume: The volume counts what was traded; False where it counts price changes, or
            nothing.
    """

    positive: bool = True
    volume_optional: bool = False
    real_volume: bool = True


class Kind(StrEnum):
    """The kind of market a profile keeps; it presets the calendar and the price rules."""

    CRYPTO = "CRYPTO"
    EQUITY = "EQUITY"
    FUTURES = "FUTURES"
    FOREX = "FOREX"

    @property
    def calendar(self) -> str:
        """The calendar of a profile that names none."""
        return PRESETS[self]

    @property
    def has_extended_hours(self) -> bool:
        """Whether vendors give bars from before and after the sessions, as they do for stocks."""
        return self is Kind.EQUITY

    @property
    def prices(self) -> PriceRules:
        """The price rules of a profile that sets none."""
        forex = self is Kind.FOREX
        return PriceRules(
            positive=self is not Kind.FUTURES, volume_optional=forex, real_volume=not forex
        )


PRESETS = {
    Kind.CRYPTO: "24/7",
    Kind.EQUITY: "XNYS",
    Kind.FUTURES: "CME Globex Equity",
    Kind.FOREX: "FOREX",
}
