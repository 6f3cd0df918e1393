"""`make requirements`: resolves requirements/*.in again and writes the pins to requirements/*.txt.

Run with the oldest Python supported here (3.11), so that the resolved versions install on newer ones too.
A version that needs a later release of 3.11 is refused: Debian 12 has 3.11.2.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tools.project import ToolError, run_tool

FOLDER = Path(__file__).resolve().parent.parent / "requirements"
ENVIRONMENTS = {
    "dev": ".venv",
    "cloud": ".tools/cloud",
    "sam": ".tools/sam",
    "peers": ".tools/peers",
    "mutation": ".tools/mutation",
    "docs": ".tools/docs",
}
# vega_datasets is here for its data files; its loaders would bring 160 MB of these.
LEFT_OUT = {
    "dev": ("numpy", "pandas", "setuptools"),
    "cloud": ("setuptools",),
    "docs": ("setuptools",),
    "mutation": ("setuptools",),
}

TOO_NEW = """
from importlib.metadata import distributions
from pip._vendor.packaging.specifiers import SpecifierSet
for each in distributions():
    if not SpecifierSet(each.metadata.get("Requires-Python") or "").contains("3.11.0"):
        print(each.name, each.version, "needs Python", each.metadata["Requires-Python"])
"""
"""Lists what the environment has that the first release of Python 3.11 cannot install."""


def pin(name: str) -> None:
    """Resolve one requirements file in a new environment and write the installed versions.

    Raises:
        ToolError: if the oldest supported Python cannot install one of them.
    """
    source, target = FOLDER / f"{name}.in", FOLDER / f"{name}.txt"
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [str(Path(folder) / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "-qq", "--no-compile", "--requirement", str(source)], check=True)
        too_new = subprocess.run([pip[0], "-c", TOO_NEW], check=True, capture_output=True, text=True).stdout
        if too_new:
            msg = f"{source.name} cannot be pinned: {too_new.strip()}. Limit the version in {source.name}."
            raise ToolError(msg)
        left_out = ("pip", *LEFT_OUT.get(name, ()))
        options = [option for package in left_out for option in ("--exclude", package)]
        freeze = [*pip, "freeze", "--all", *options]
        frozen = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
    title = f"# Every package of {ENVIRONMENTS[name]}, pinned; installed with --no-deps.\n"
    origin = f"# Made by `make requirements` from {source.name}: edit that and run it.\n"
    target.write_text(title + origin + frozen)


def main() -> int:
    """Pin the files named on the command line, or all of them."""
    for name in sys.argv[1:] or ENVIRONMENTS:
        print(f"requirements: resolving {name}", flush=True)
        pin(name)
    return 0


if __name__ == "__main__":
    run_tool(main)
