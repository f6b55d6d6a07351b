"""`market-assets up`: a small supervisor that starts the platform's processes, watches them and says what happens.

It imports neither Dagster nor DuckDB nor polars: what needs those runs in the processes that it starts.
"""
