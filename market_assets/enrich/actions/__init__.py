"""Corporate actions: recording them, and prices that they adjust."""
