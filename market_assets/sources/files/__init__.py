"""Local files: how they are written, what they hold, and what they speak for."""
