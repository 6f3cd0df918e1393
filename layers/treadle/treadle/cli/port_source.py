"""A Python source file of which single spans can be replaced: everything else stays byte for byte."""

import ast
import io
import re
import tokenize
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from treadle.definitions.errors import ScaffoldError

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BLANK_LINES = re.compile(rb"(?:[ \t\f]*(?:\r\n|\r|\n))+")
_UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError)
Span = tuple[int, int]


def parse(text: str) -> ast.Module:
    """Parse Python without running any of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


@dataclass
class Source:
    """A file and the changes to it.

    Attributes:
        path: the file.
        data: its text in UTF-8, as positions of the syntax tree count such bytes.
        encoding: its own encoding.
        tree: its syntax tree.
        edits: spans with their new text; an edit within another one has no effect.
        tail: what follows the last statement that remains.
    """

    path: Path
    data: bytes
    encoding: str
    tree: ast.Module
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    tail: str = ""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            ScaffoldError: if it cannot be read, or is not Python.
        """
        try:
            raw = path.read_bytes()
            encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
            text = raw.decode(encoding)
            return cls(path, text.encode(), encoding, parse(text))
        except OSError as error:
            problem = f"{path}: cannot be read: {error.strerror}. Give a file of Python."
        except SyntaxError as error:
            where = f"{path}:{error.lineno}" if error.lineno else str(path)
            problem = f"{where}: is not Python: {error.msg}. Correct it, or give another file."
        except _UNPARSED as error:
            problem = f"{path}: is not Python: {error}. Give a file of Python."
        raise ScaffoldError([problem])

    def __post_init__(self) -> None:
        self._starts = [0, *(found.end() for found in _LINE_END.finditer(self.data))]
        self.line_end = "\r\n" if b"\r\n" in self.data else "\n"

    def span(self, node: ast.AST) -> Span:
        """Return where a node begins and ends."""
        assert isinstance(node, ast.expr | ast.stmt | ast.alias | ast.keyword | ast.arg)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def text(self, node: ast.AST) -> str:
        """Return a node's text."""
        start, end = self.span(node)
        return self.data[start:end].decode()

    def before(self, node: ast.alias) -> str:
        """Return what stands before a node in its line."""
        return self.data[self._starts[node.lineno - 1] : self.span(node)[0]].decode()

    def replace(self, node: ast.AST, text: str) -> None:
        """Replace a node."""
        self.edits.append((*self.span(node), text))

    def insert_after(self, node: ast.AST, text: str) -> None:
        """Insert text after a node."""
        _, end = self.span(node)
        self.edits.append((end, end, text))

    def insert_below(self, statements: list[ast.stmt], lines: list[str]) -> None:
        """Insert lines below the last of some statements, or above the first one of the file."""
        if statements:
            self.insert_after(statements[-1], "".join(f"\n{line}" for line in lines))
        else:
            first = self.tree.body[0]
            decorators: list[ast.expr] = getattr(first, "decorator_list", [])
            start = self._starts[min([first.lineno, *(each.lineno for each in decorators)]) - 1]
            self.edits.append((start, start, "".join(f"{line}\n" for line in lines)))

    def drop(self, items: list[ast.AST], dropped: list[ast.AST]) -> None:
        """Remove some of several items that are separated by commas, with their commas."""
        kept = [item for item in items if item not in dropped]
        for position, item in enumerate(items):
            if item not in dropped:
                continue
            start, end = self.span(item)
            if any(each in kept for each in items[position + 1 :]):
                end = self.span(items[position + 1])[0]
            else:
                start = next(
                    (self.span(each)[1] for each in reversed(items[:position]) if each in kept), start
                )
            self.edits.append((start, end, ""))

    def replace_statement(self, statement: ast.stmt, text: str, *, is_alone: bool = False) -> None:
        """Replace a statement with its decorators; without new text, its lines go.

        The blank lines below go with them if there are some above, too.

        Args:
            statement: the statement.
            text: the new one.
            is_alone: whether its block has no other statement, and needs one.
        """
        start, end = self.span(statement)
        decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(each.lineno for each in decorators)])
        line = self._starts[first - 1]
        start = start if first == statement.lineno else self.data.index(b"@", line)
        after = _LINE_END.search(self.data, end)
        rest = self.data[end : after.start() if after else len(self.data)].strip()
        has_own_lines = not self.data[line:start].strip() and (not rest or rest.startswith(b"#"))
        if text or is_alone or not has_own_lines:
            self.edits.append((start, end, text or "pass"))
            return
        stop = after.end() if after else len(self.data)
        above = self.data[self._starts[max(first - 2, 0)] : line]
        blank = None if first > 1 and above.strip() else _BLANK_LINES.match(self.data, stop)
        self.edits.append((line, blank.end() if blank else stop, ""))

    def result(self) -> bytes:
        """Return the file with its changes, in its own encoding.

        Raises:
            ScaffoldError: if that is not Python; then the file was not understood.
        """
        merged: list[tuple[int, int, str]] = []
        for start, end, text in sorted(self.edits, key=lambda edit: (edit[0], edit[1] > edit[0], -edit[1])):
            if merged and start < merged[-1][1]:
                first, last, before = merged.pop()
                merged.append((first, max(last, end), before if end <= last else before + text))
            else:
                merged.append((start, end, text))
        data, position = b"", 0
        for start, end, text in merged:
            data += self.data[position:start] + text.replace("\n", self.line_end).encode()
            position = end
        text = (data + self.data[position:]).decode()
        if self.tail or position == len(self.data):
            text = (text.rstrip() + f"\n{self.tail}".replace("\n", self.line_end)).lstrip("\r\n")
        try:
            parse(text)
            return text.encode(self.encoding)
        except _UNPARSED as error:
            msg = f"{self.path}: its changes would not be Python: {error}. Port it by hand, and report this file."
            raise ScaffoldError([msg]) from error
