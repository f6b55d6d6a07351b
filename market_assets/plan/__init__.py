"""Which ranges to run. Dagster is not known here."""
