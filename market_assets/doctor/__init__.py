"""What a machine and a home folder must be like for this package to work, looked at piece by piece.

`rim` gathers the facts and is the only part that asks the system; `checks` judge them and are pure.
Nothing here writes, mends or waits for anybody.
"""
