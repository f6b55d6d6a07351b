"""Read-only answers: story, gaps, jobs, completeness, probe, read. Nothing here writes."""
