"""Tells somebody when data is not what it should be, once, and once more when it is over."""

from market_assets.alerts.channels import Channel, channels_of, try_channels
from market_assets.alerts.ledger import Alert
from market_assets.alerts.outside import Outside
from market_assets.alerts.troubles import Key, Kind, Level, Trouble
from market_assets.alerts.watch import Told, Watch, alerts_in

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
