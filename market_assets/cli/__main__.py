"""`python -m market_assets.cli` is the same as the command `market-assets`."""

from market_assets.cli import main

main()
