"""What every run does: its job, its batches, its outcome."""
