"""Corporate actions: asking for them, and prices that they adjust."""
