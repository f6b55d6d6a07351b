"""The one operation that brings candles in, and all that it is made of."""
