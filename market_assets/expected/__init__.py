"""What must exist, and how complete it is: series, newest partitions, lost candles."""
