"""`make requirements`: resolves requirements/*.in again and writes the pins to requirements/*.txt.

Run with the oldest Python supported here (3.11), so that the resolved versions install on newer ones too.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

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


def pin(name: str) -> None:
    """Resolve one requirements file in a new environment and write the installed versions."""
    source, target = FOLDER / f"{name}.in", FOLDER / f"{name}.txt"
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [str(Path(folder) / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "-qq", "--no-compile", "--requirement", str(source)], check=True)
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
    sys.exit(main())
