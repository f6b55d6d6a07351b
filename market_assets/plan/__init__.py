"""Which ranges to run; no Dagster."""
