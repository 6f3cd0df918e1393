"""Runs Dagster's own tests of sensors against Treadle: `make peers`.

Dagster's source distribution has the tests; none of them is committed. `modules` gives them a module named
`dagster`, whose names are Treadle's. `definitions` and `daemon` add what the guide says to replace: jobs and assets
with code, and Dagster's daemon. `items.toml` lists each item that does not pass, with its reason.
"""
