"""A practice vendor: simulated candles, said to be simulated, over real HTTP, with faults on demand."""
