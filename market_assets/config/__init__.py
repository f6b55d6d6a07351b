"""What to keep: the universe as it is written, its checks, and what follows from them."""
