"""The commands: one file for each, with the command's name."""
