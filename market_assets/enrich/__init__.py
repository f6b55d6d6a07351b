"""Datasets that are made of candles: derived candles, features, returns, adjusted prices."""
