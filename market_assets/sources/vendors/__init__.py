"""One file per vendor: its address, how it is asked, and how its answers are read.

What vendors share stands in `transport`.
"""
