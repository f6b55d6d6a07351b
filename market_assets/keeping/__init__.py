"""What bookkeeping costs and what is removed of it: pure values, and the files of a home folder."""

from market_assets.keeping.parts import Part, Removed, advice, by_age

__all__ = ["Part", "Removed", "advice", "by_age"]
