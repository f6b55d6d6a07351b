"""Reports when data is not what it should be: once, and once more when that is over.

What is wrong is in `absence`, `judgement` and `platform`, what was reported in `ledger`, how it is
sent in `channels`; `watch` goes through all of it.
"""

from market_assets.alerts.channels import Channel, channels_of, try_channels
from market_assets.alerts.ledger import Alert
from market_assets.alerts.outside import Outside
from market_assets.alerts.rows import alerts_in
from market_assets.alerts.troubles import Key, Kind, Level, Trouble
from market_assets.alerts.watch import Told, Watch

__all__ = [
    "Alert",
    "Channel",
    "Key",
    "Kind",
    "Level",
    "Outside",
    "Told",
    "Trouble",
    "Watch",
    "alerts_in",
    "channels_of",
    "try_channels",
]
