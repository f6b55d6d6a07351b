"""What keeps the newest candles up to date while the platform runs; no Dagster."""
