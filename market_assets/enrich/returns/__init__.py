"""Returns aligned over symbols and markets: their rules, and the work that makes them."""
