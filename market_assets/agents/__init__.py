"""Answers for programs that speak the Model Context Protocol: bounded, and read-only."""
