"""A writable copy of this project."""

import shutil
from pathlib import Path

from tools.project import ROOT

LINKED = ("layers/deps", "layers/treadle", "tools")
"""Read only, and the same in every copy."""

PROJECT_TESTS = {"conftest.py", "sensors", "support", "template"}
"""What a project has in its folder `tests`; the others are of Treadle alone, as are its benchmarks and pages."""


def copy_of_project(folder: Path) -> Path:
    """Copy the project's files to a folder, without tests of Treadle alone; link library and tools."""
    copy = folder / "project"
    unwanted = shutil.ignore_patterns(
        ".*", "__pycache__", "test_new_sensor*.py", "benchmarks", "dist", "docs"
    )

    def ignored(path: str, names: list[str]) -> set[str]:
        place = Path(path).relative_to(ROOT)
        others = set(names) - PROJECT_TESTS if str(place) == "tests" else set()
        return {*unwanted(path, names), *others, *(name for name in names if str(place / name) in LINKED)}

    shutil.copytree(ROOT, copy, ignore=ignored)
    for name in LINKED:
        (copy / name).symlink_to(ROOT / name)
    return copy
