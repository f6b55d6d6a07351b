"""Answers for people: story, gaps, jobs, completeness, doubts, probe, read.

Three things may be brought up to date in the store for an answer: the counts of what must exist,
the judgement by a changed calendar, and jobs whose process is gone.
"""
