"""The one JSON text of a value, wherever two texts of it must be equal."""

import json

# Made once: to set it up takes longer than to write a small value.
canonical_json = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode
"""Keys sorted, no blanks, characters as they are; what is no JSON, NaN included, raises TypeError or ValueError."""
