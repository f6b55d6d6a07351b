"""What must exist, and how far it is: series, newest partitions, what was lost."""
