"""`make dist`: builds the wheel, which contains the library, the engine, and the files of a new project."""

import subprocess
from pathlib import Path

from tools.project import ROOT, VENV_BIN, ToolError, clean_environment, run_tool

PACKAGE = ROOT / "layers" / "treadle"
DIST = ROOT / "dist"


def build_wheel(folder: Path = DIST) -> Path:
    """Build the wheel into a folder; the same sources give the same bytes.

    Args:
        folder: created if it does not exist.

    Raises:
        ToolError: the build failed; with its output.
    """
    command = [
        str(VENV_BIN / "python"),
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(folder),
    ]
    done = subprocess.run(
        command, cwd=PACKAGE, env=clean_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolError(f"the wheel was not built:\n{done.stdout}{done.stderr}")
    name = (done.stdout.split() or done.stderr.split())[-1]
    return folder / Path(name).name


def main() -> int:
    """Build the wheel, and print its path."""
    path = build_wheel()
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")
    print(f"  pip install '{path.relative_to(ROOT)}[cli]' && treadle init my-project")
    return 0


if __name__ == "__main__":
    run_tool(main)
