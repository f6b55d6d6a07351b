"""What the product promises, each followed from end to end: one file for each promise."""
