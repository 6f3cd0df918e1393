"""What the engine needs from outside, as Protocols, and the values that cross them. Knows no technology.

All times are whole milliseconds since the epoch, UTC, named `*_at`, `*_time` or `now`.
"""
