"""Tests of `market-assets up`."""
