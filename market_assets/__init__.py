"""Complete, provable market candles on your own machine: Dagster assets over DuckDB."""
