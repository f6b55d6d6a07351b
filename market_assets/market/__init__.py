"""Pure nouns of a market: timeframes, windows, partitions, gaps, calendars."""
