"""The checks: facts in, findings out. They are pure."""
