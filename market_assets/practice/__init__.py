"""A practice vendor: simulated candles over real HTTP, with faults on demand.

What it gives is said to be simulated in every answer.
"""
