"""The values that the engine, its ports and their adapters exchange; they perform no I/O.

No technology is named here. All times are whole milliseconds since the epoch, UTC, named `*_at`, `*_time` or `now`.
"""
