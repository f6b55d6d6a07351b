"""Everything that is made of candles."""
