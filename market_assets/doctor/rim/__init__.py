"""Gathers the facts: the only part of the room that asks the system, files and sources."""
