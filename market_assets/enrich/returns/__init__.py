"""Returns aligned over symbols and markets."""
