"""Patterns of keys with names, such as `{region}/orders_{day:%Y%m%d}.csv`, or a regular expression."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.objects import S3Object

_DIRECTIVES = {
    "Y": r"[0-9]{4}",
    "y": r"[0-9]{2}",
    "m": r"(?:0[1-9]|1[0-2])",
    "d": r"(?:0[1-9]|[12][0-9]|3[01])",
    "j": r"[0-9]{3}",
    "H": r"(?:[01][0-9]|2[0-3])",
    "M": r"[0-5][0-9]",
    "S": r"[0-5][0-9]",
}
"""The directives of `strptime` that a time in a key may have: those of a fixed number of digits."""

_EXAMPLE_TIME = datetime(2026, 11, 22, 18, tzinfo=UTC)

_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}:]*)(?P<format>:[^{}]*)?\}|(?P<brace>[{}])|(?P<text>[^{}]+)")
_WITHIN_DIRECTORY = "[^/]+"
_SPECIAL = frozenset(".^$*+?{}[]|()\\")
_REPEATS = ("*", "?", "{")


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """What a key must look like, with the names of its parts.

    Attributes:
        text: the pattern, or the regular expression.
        flags: those of the regular expression; None for a pattern in braces.
        prefix: what each matching key begins with, as far as that is plain to see.
        suffix: what each matching key ends with, likewise.
        expression: matches whole keys.
        formats: the format of each name that is a time.
    """

    text: str
    flags: int | None = None
    prefix: str = field(init=False, compare=False)
    suffix: str = field(init=False, compare=False)
    expression: re.Pattern[str] = field(init=False, compare=False)
    formats: Mapping[str, str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        made = _translated(self.text) if self.flags is None else _Expression(self.text, _literal_start(self))
        try:
            expression = re.compile(made.text, self.flags or 0)
        except (re.error, RecursionError) as error:
            msg = f"pattern {shown(self.text)} is no regular expression: {error}."
            raise DagsterInvalidDefinitionError(msg) from error
        for name, value in {
            "prefix": made.prefix,
            "suffix": made.suffix,
            "expression": expression,
            "formats": made.formats,
        }.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, value: object) -> "KeyPattern | None":
        """Parse a pattern as a definition has it; None if it is empty.

        Raises:
            DagsterInvalidDefinitionError: if it is neither a text nor a regular expression, or malformed.
        """
        if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
            return cls(value.pattern, value.flags)
        if not isinstance(value, str):
            msg = f"pattern must be a text or a compiled regular expression of text, not {shown(value)}."
            raise DagsterInvalidDefinitionError(msg)
        return cls(value) if value else None

    def __str__(self) -> str:
        return self.text

    @property
    def fingerprint(self) -> str:
        """Identifies the pattern in a cursor."""
        return f"pattern {self.text}" if self.flags is None else f"expression {self.flags} {self.text}"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of a pattern in braces, in their order."""
        return tuple(name for name, _, _ in _tokens(self.text, []) if name)

    def begins(self, key: str, number: int) -> str:
        """Return the part of a matching key before the name that follows the first names.

        Args:
            key: the key.
            number: how many names it contains; fewer than all.
        """
        match = self.expression.fullmatch(key)
        return key[: match.start(self.names[number])] if match else key

    @property
    def wildcard(self) -> str:
        """The pattern in braces as EventBridge's language can say it: each name is an asterisk."""
        # EventBridge refuses two asterisks in a row, and takes those of the fixed text with a backslash.
        parts = [
            "" if name else re.sub(r"[*\\]", r"\\\g<0>", text) for name, _, text in _tokens(self.text, [])
        ]
        return "".join(part or "*" for before, part in pairwise(["begin", *parts]) if before or part)

    @property
    def example(self) -> str:
        """A key that matches the pattern in braces."""
        return "".join(
            (_EXAMPLE_TIME.strftime(form) if form else name) or text
            for name, form, text in _tokens(self.text, [])
        )

    def described(self) -> dict[str, Any]:
        """Return the pattern as plain JSON."""
        return {"text": self.text, "flags": self.flags}

    def matches(self, key: str) -> bool:
        """Return whether a key matches as a whole, and its times exist."""
        return self._match(key) is not None

    def values(self, key: str) -> Mapping[str, str]:
        """Return the values of the names in a matching key."""
        found = self._match(key)
        return found[0] if found else {}

    def named(self, stored: S3Object) -> S3Object:
        """Return an object with the names of its key."""
        found = self._match(stored.key)
        return stored if found is None else stored.with_names(*found)

    def _match(self, key: str) -> tuple[dict[str, str], dict[str, datetime]] | None:
        match = self.expression.fullmatch(key)
        if match is None:
            return None
        names = {name: value for name, value in match.groupdict().items() if value is not None}
        try:
            times = {
                name: datetime.strptime(names[name], form).replace(tzinfo=UTC)
                for name, form in self.formats.items()
            }
        except ValueError:
            return None  # Such as the 30th of February.
        return names, times


@dataclass(frozen=True, slots=True)
class _Expression:
    """A pattern as a regular expression."""

    text: str
    prefix: str
    suffix: str = ""
    formats: Mapping[str, str] = field(default_factory=dict)


def _translated(text: str) -> _Expression:
    """Translate a pattern in braces.

    A name ends where what follows it occurs first, which an atomic group makes final: matching takes no
    longer for any key than its length suggests.
    """
    problems: list[str] = []
    tokens = list(_tokens(text, problems))
    names = [name for name, _, _ in tokens if name]
    problems += [f"{name!r} is in it twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if not problems and not names:
        problems.append("it has no name in braces, so use prefix and suffix")
    wild = [index for index, (name, form, _) in enumerate(tokens) if name and not form]
    problems += [
        f"nothing separates {tokens[one][0]!r} from {tokens[other][0]!r}"
        for one, other in pairwise(wild)
        if other == one + 1
    ]
    if problems:
        msg = f"pattern {shown(text)} cannot be used: {'; '.join(problems)}."
        raise DagsterInvalidDefinitionError(msg)
    parts, opened = [""], False
    for name, form, literal in tokens:
        if name and not form:
            parts.append(f"(?P<{name}>{_WITHIN_DIRECTORY}?)")
            opened = True
        else:
            parts[-1] += f"(?P<{name}>{_of_format(form)})" if name else re.escape(literal)
    # Each name and what follows it is one group, but for the last, which the end of the key ends.
    first, *groups = parts
    joined = first + "".join(f"(?>{each})" for each in groups[:-1]) + (groups[-1] if opened else "")
    # A name's token has no literal text.
    return _Expression(joined, tokens[0][2], tokens[-1][2], {name: form for name, form, _ in tokens if form})


def _tokens(text: str, problems: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield name, format and literal text of each token; neighboring literals as one."""
    literal = ""
    for token in _TOKEN.finditer(text):
        name = token["name"]
        if name is None:
            if token["brace"]:
                problems.append("a brace is not closed, or not opened: write {{ and }} for braces in keys")
            literal += token["text"] or token[0][:1]
            continue
        if literal:
            yield "", "", literal
            literal = ""
        form = (token["format"] or "")[1:]
        if not (name.isidentifier() and name.isascii()):
            problems.append(f"{name!r} is no name: use letters, digits and '_'")
        if token["format"] is not None:
            problems += _format_problems(name, form)
        yield name, form, ""
    if literal:
        yield "", "", literal


def _format_problems(name: str, form: str) -> Iterator[str]:
    directives = re.findall(r"%(.?)", form, flags=re.DOTALL)
    for unknown in sorted({each for each in directives if each not in {*_DIRECTIVES, "%"}}):
        known = ", ".join(f"%{each}" for each in _DIRECTIVES)
        yield f"{name!r} has %{unknown}, and a time in a key may have {known}"
    if not {"Y", "y"} & set(directives):
        yield f"the time {name!r} has no year, %Y: leave its format out to take it as text"
    if len(set(directives)) < len(directives) or {"Y", "y"} <= set(directives):
        yield f"the time {name!r} has a part twice"


def _of_format(form: str) -> str:
    parts = re.split(r"%(.)", form)
    return "".join(
        re.escape(part) if index % 2 == 0 else _DIRECTIVES.get(part, re.escape(part))
        for index, part in enumerate(parts)
    )


def _literal_start(pattern: KeyPattern) -> str:
    """Return what each match of a regular expression begins with, as far as that is plain to see."""
    text = pattern.text
    if pattern.flags != re.UNICODE or "|" in text:
        return ""
    found, at = "", 1 if text.startswith("^") else 0
    while at < len(text):
        char, width = text[at], 1
        if char == "\\" and text[at + 1 : at + 2] and not text[at + 1].isalnum():
            char, width = text[at + 1], 2
        elif char in _SPECIAL:
            break
        if text[at + width : at + width + 1] in _REPEATS:
            break
        found, at = found + char, at + width
    return found
