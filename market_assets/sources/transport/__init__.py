"""What all vendors share: HTTP, rate limits, paging, keys, refusals."""
