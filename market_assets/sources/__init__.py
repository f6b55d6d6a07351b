"""Where candles come from: vendors, local files, and the contract that third parties can implement.

There is one module per source. The transport that sources share stands in `transport`.
"""
