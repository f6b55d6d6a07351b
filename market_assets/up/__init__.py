"""`market-assets up`: a small supervisor that starts the platform's processes and watches them.

It imports neither Dagster nor DuckDB nor polars: what needs those, its processes do.
"""
