"""Pure judgement: frames in, verdicts out. Nothing here reads a clock, a file or a network."""
