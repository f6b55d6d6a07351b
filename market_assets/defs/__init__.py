"""The only folder that knows Dagster: it turns a universe into assets, and outcomes into events."""
