"""The assets and their checks: what the UI shows of candles and of what is made of them."""
