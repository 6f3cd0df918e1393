"""The canonical JSON of a value, for texts that must be comparable."""

import json

# Made once: constructing it takes longer than encoding a small value.
canonical_json = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode
"""Keys sorted, no whitespace, no escapes; TypeError or ValueError for what is not JSON, such as NaN."""
