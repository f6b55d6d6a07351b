"""Sessions of every market, with the corrections that the libraries lack."""
