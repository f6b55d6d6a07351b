"""Features of candles: their formulas, and the work that makes them."""
