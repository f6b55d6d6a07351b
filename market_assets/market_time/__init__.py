"""When markets trade: timeframes, session calendars, partitions and gap arithmetic. Pure: no store, no network, no clock."""
