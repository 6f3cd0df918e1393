"""The interfaces through which the engine reaches the outside, as Protocols, and the values they exchange.

No technology is named here. All times are whole milliseconds since the epoch, UTC, named `*_at`, `*_time` or
`now`.
"""
