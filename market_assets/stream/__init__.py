"""Live candles: from a vendor's frames to batches of closed bars. Neither store nor Dagster.

What the frames of a vendor mean stands in `sources.streaming` and in the vendors' modules. What
happens with the bars, and what is asked for over REST after a break, is up to who iterates.
"""
