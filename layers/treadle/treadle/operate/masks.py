"""Masks for fields with secrets or personal data, by their names."""

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

MASK = "***"

DEFAULT_MASKS = (
    "*password*",
    "*passwd*",
    "*passphrase*",
    "*secret*",
    "*token*",
    "*apikey*",
    "*accesskey*",
    "*privatekey*",
    "*credential*",
    "*authorization*",
    "*connectionstring*",
    "*databaseurl*",
    "*dsn*",
    "*email*",
    "*phone*",
    "*birthdate*",
    "*iban*",
)
"""Patterns of names, without `-`, `_` and capitals."""

_IGNORED = re.compile(r"[-_. ]")


class Masks:
    """Hides the values of fields whose names match a pattern; `-`, `_`, `.`, spaces and capitals make no difference.

    Args:
        patterns: such as "*token*".
    """

    def __init__(self, patterns: Sequence[str] = DEFAULT_MASKS) -> None:
        self.patterns = tuple(dict.fromkeys(map(_plain, patterns)))

    def hides(self, name: str) -> bool:
        """Return whether the value of a field is hidden."""
        plain = _plain(name)
        return any(fnmatchcase(plain, pattern) for pattern in self.patterns)

    def masked(self, value: Any) -> Any:
        """Return JSON with hidden values replaced."""
        if isinstance(value, Mapping):
            return {name: MASK if self.hides(name) else self.masked(each) for name, each in value.items()}
        return [self.masked(each) for each in value] if isinstance(value, list) else value

    def masked_text(self, text: str | None) -> str | None:
        """Return a text, masked if it is JSON."""
        try:
            value = json.loads(text or "")
        except ValueError:
            return text
        masked = self.masked(value)
        return text if masked == value else json.dumps(masked)


def _plain(name: str) -> str:
    return _IGNORED.sub("", name).lower()
