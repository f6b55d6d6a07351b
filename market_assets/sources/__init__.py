"""Where candles come from: one module a source, the HTTP client they share, and the contract that third parties can implement."""
