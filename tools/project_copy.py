"""A copy of this project for whoever writes into it."""

import shutil
from pathlib import Path

from tools.project import ROOT

LINKED = ("layers", "tools")
"""Read only, and the same in every copy."""


def copy_of_project(folder: Path) -> Path:
    """The project's files below a folder, its library and tools by link, without this command's own tests."""
    copy = folder / "project"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "test_cli_*", "test_new_sensor*.py", *LINKED)
    shutil.copytree(ROOT, copy, ignore=ignored)
    for name in LINKED:
        (copy / name).symlink_to(ROOT / name)
    return copy
