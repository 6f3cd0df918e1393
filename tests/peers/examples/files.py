"""The files of `examples.toml`, from a local clone or from GitHub; each is kept, so it is obtained once."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tools.project import TOOLS, ToolError

KEPT = TOOLS / "dagster-examples"
ADDRESS = "https://raw.githubusercontent.com/{repository}/{commit}/{path}"
SECONDS = 30
"""The timeout of a download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A file, and what is expected of it.

    Attributes:
        path: the file, in its repository.
        commit: where it has this content.
        repository: on GitHub.
        between: the part of the file that a page shows, by the name in its markers; "" for the whole file.
        edits: by subject, what `treadle port` reports to be changed by hand, or impossible, with the guide's row.
        runs: the sensors whose evaluation requests runs, or reacts to its event.
        skips: the sensors whose evaluation skips, as it does in Dagster.
        cannot: the sensors that cannot be ported or evaluated, with the guide's row or another reason.
    """

    path: str
    commit: str
    repository: str = "dagster-io/dagster"
    between: str = ""
    edits: Mapping[str, str] = field(default_factory=dict)
    runs: Sequence[str] = ()
    skips: Sequence[str] = ()
    cannot: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, parsed: Mapping[str, Any]) -> "Example":
        """Return what a table of the list says.

        Raises:
            ToolError: if it has an unknown key.
        """
        try:
            return cls(**parsed)
        except TypeError as error:
            msg = f"examples.toml has a wrong entry, {parsed.get('path', parsed)}: {error}. Correct it."
            raise ToolError(msg) from error

    def text(self, clones: Path | None) -> str:
        """Return the file, or the part of it that a page shows.

        Args:
            clones: a folder with clones of the repositories; None to download what is not kept.

        Raises:
            ToolError: if it cannot be obtained.
        """
        kept = KEPT / self.repository / self.commit / self.path
        if not kept.exists():
            data = self._of_clone(clones) if clones else self._downloaded()
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(data)
        text = kept.read_text()
        if not self.between:
            return text
        lines = text.splitlines(keepends=True)
        markers = {f"# start_{self.between}", f"# end_{self.between}"}
        marks = [at for at, line in enumerate(lines) if line.strip() in markers]
        if len(marks) != 2:
            msg = (
                f"{self.path} has {len(marks)} markers of {self.between} instead of 2. Correct examples.toml."
            )
            raise ToolError(msg)
        return dedent("".join(lines[marks[0] + 1 : marks[1]]))

    def _of_clone(self, clones: Path) -> bytes:
        clone = clones / self.repository.rpartition("/")[2]
        command = ["git", "-C", str(clone), "show", f"{self.commit}:{self.path}"]
        shown = subprocess.run(command, capture_output=True, check=False)
        if shown.returncode:
            why = shown.stderr.decode().strip()
            msg = f"{clone} does not have {self.path} of {self.commit}: {why}. Clone github.com/{self.repository} with its history."
            raise ToolError(msg)
        return shown.stdout

    def _downloaded(self) -> bytes:
        url = ADDRESS.format(repository=self.repository, commit=self.commit, path=self.path)
        try:
            with urlopen(url, timeout=SECONDS) as response:
                data: bytes = response.read()
                return data
        except (URLError, TimeoutError) as error:
            msg = f"{url} cannot be downloaded: {error}. Try again, or set CLONES to a folder with clones of the repositories."
            raise ToolError(msg) from error
