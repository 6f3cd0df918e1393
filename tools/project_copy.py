"""A writable copy of this project."""

import shutil
from pathlib import Path

from tools.project import ROOT

LINKED = ("layers/deps", "layers/treadle", "tools")
"""Read only, and the same in every copy."""


def copy_of_project(folder: Path) -> Path:
    """Copy the project's files to a folder, without this command's own tests; link library and tools."""
    copy = folder / "project"
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "test_cli_*", "test_new_sensor*.py")

    def ignored(path: str, names: list[str]) -> set[str]:
        place = Path(path).relative_to(ROOT)
        return {*unwanted(path, names), *(name for name in names if str(place / name) in LINKED)}

    shutil.copytree(ROOT, copy, ignore=ignored)
    for name in LINKED:
        (copy / name).symlink_to(ROOT / name)
    return copy
