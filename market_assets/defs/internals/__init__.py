"""What Dagster does not export: every use of its private parts, each behind a contract test."""
