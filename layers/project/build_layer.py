"""Builds the project's layer: the packages of requirements.txt with all that they need, and the code of python/.

Run by SAM's makefile build, in a copy of this folder, by whatever `python3` is on the path:
so standard library and pip only.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
LIST = "layers/project/requirements.txt"
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
GLIBC = range(34, 16, -1)
"""Minor versions that wheels may be built for; Lambda's runtimes from python3.12 on, which are Amazon Linux 2023, have
2.34: "Lambda runtimes" in the Lambda guide, "Comparing AL2 and AL2023" in the guide of Amazon Linux 2023."""
MOST_BYTES = 262_144_000
"""Unzipped, of a function with all of its layers: "Lambda quotas" in the Lambda guide."""
ROUNDS = 5


class BuildError(Exception):
    """The layer cannot be built; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Target:
    """Where the layer is to run.

    Attributes:
        runtime: such as `python3.13`.
        architecture: `arm64` or `x86_64`.
    """

    runtime: str
    architecture: str

    @property
    def version(self) -> str:
        """Python's, such as `3.13`."""
        return self.runtime.removeprefix("python")

    def pip_options(self) -> list[str]:
        """Return the options that make pip choose this target's wheels instead of this machine's."""
        machine = MACHINES[self.architecture]
        platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC] + [f"manylinux2014_{machine}"]
        options = [f"--platform={platform}" for platform in platforms]
        return [
            *options,
            "--implementation=cp",
            f"--python-version={self.version}",
            "--only-binary=:all:",
        ]

    def markers(self, extra: str) -> dict[str, str]:
        """By what conditions such as `python_version < "3.13"` are decided there."""
        return {
            "extra": extra,
            "implementation_name": "cpython",
            "implementation_version": f"{self.version}.0",
            "os_name": "posix",
            "platform_machine": MACHINES[self.architecture],
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.version}.0",
            "python_version": self.version,
            "sys_platform": "linux",
        }


def build(artifacts: Path, target: Target | None, started_in: str) -> None:
    """Build the layer.

    Args:
        artifacts: the layer's folder.
        target: where it is to run; None for this machine and interpreter.
        started_in: the folder that SAM was started in; empty if that is not known.

    Raises:
        BuildError: a package cannot be installed, a name is taken, or the layer is too large.
    """
    refuse_lists_of_sensors(started_in)
    python = artifacts / "python"
    lines = requirements()
    if lines:
        install(lines, python, target)
    add_shared_code(python)
    # Of an empty layer, Lambda says: "Uploaded file must be a non-empty zip".
    shutil.copy(FOLDER / "requirements.txt", artifacts / "project-requirements.txt")
    size = sum(path.stat().st_size for path in artifacts.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        msg = (
            f"The layer has {size // 1_000_000} MB, and Lambda takes {MOST_BYTES // 1_000_000} MB of a function and all "
            f"of its layers. Take packages off {LIST}."
        )
        raise BuildError(msg)


def requirements() -> list[str]:
    """Return the lines of requirements.txt that require something."""
    lines = (FOLDER / "requirements.txt").read_text("utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def refuse_lists_of_sensors(started_in: str) -> None:
    """Refuse a list of packages in a sensor's folder, which nothing would install.

    Args:
        started_in: the folder that SAM was started in; it builds in a copy elsewhere.

    Raises:
        BuildError: there is one.
    """
    found = sorted(Path(started_in, "functions", "sensors").glob("*/requirements.txt")) if started_in else []
    if found:
        paths = ", ".join(str(path.relative_to(started_in)) for path in found)
        msg = (
            f"{paths}: nothing installs packages listed there. Move the lines to {LIST}, and remove the file."
        )
        raise BuildError(msg)


def install(lines: list[str], into: Path, target: Target | None) -> None:
    """Install packages with all that they need.

    pip decides the conditions of what a package needs by the interpreter that it runs under, whatever wheels it is told
    to choose. What is missing where the layer is to run is therefore asked for by name in another round.

    Raises:
        BuildError: pip cannot, in pip's words.
    """
    more: list[str] = []
    missing: list[str] = []
    for _ in range(ROUNDS):
        shutil.rmtree(into, ignore_errors=True)
        _pip(more, into, target)
        missing = sorted(set(_missing(lines, into, target))) if target else []
        if not missing:
            shutil.rmtree(into / "bin", ignore_errors=True)
            return
        more += missing
    msg = f"Packages of {LIST} need {', '.join(missing)}, which pip does not install. Add each as a line of its own."
    raise BuildError(msg)


def _pip(more: list[str], into: Path, target: Target | None) -> None:
    command = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile"]
    command += target.pip_options() if target else []
    command += ["--constraint", str(FOLDER / "constraints.txt"), "--target", str(into)]
    command += ["--requirement", str(FOLDER / "requirements.txt"), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the project's own list
    if done.returncode:
        place = f"as wheels for {target.runtime} on {target.architecture}" if target else "on this machine"
        msg = f"pip cannot install {LIST} {place}:\n{done.stderr.strip()}\nCorrect the lines it names."
        raise BuildError(msg)


def _missing(lines: list[str], into: Path, target: Target) -> Iterator[str]:
    """Return the requirements of packages that were not installed, as lines for pip."""
    # pip's own copy: the interpreter that SAM's build finds has pip, and may have nothing else.
    from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
    from pip._vendor.packaging.utils import canonicalize_name

    found = {
        canonicalize_name(each.metadata["Name"]): each
        for each in importlib.metadata.distributions(path=[str(into)])
    }
    waiting: list[tuple[Any, str]] = []
    for line in lines:
        try:
            waiting.append((Requirement(line.split(" #")[0].split(" --")[0]), ""))
        except InvalidRequirement:
            continue  # An option of pip's, or an address; pip has installed what it names.
    seen = set()
    while waiting:
        needed, extra = waiting.pop()
        name = canonicalize_name(needed.name)
        if (name, str(needed), extra) in seen or not _holds(needed, extra, target):
            continue
        seen.add((name, str(needed), extra))
        if name not in found:
            needed.marker = None
            yield str(needed)
            continue
        for text in found[name].requires or ():
            waiting += [(Requirement(text), each) for each in ("", *needed.extras)]


def _holds(needed: Any, extra: str, target: Target) -> bool:
    return needed.marker is None or bool(needed.marker.evaluate(target.markers(extra)))


def add_shared_code(into: Path) -> None:
    """Copy the code that sensors share beside the packages.

    Raises:
        BuildError: a name of it would hide a package, a module of Python, or Treadle.
    """
    into.mkdir(parents=True, exist_ok=True)
    taken = {path.name.removesuffix(".py") for path in into.iterdir()}
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for path in sorted((FOLDER / "python").iterdir()):
        if path.name == "__pycache__" or path.name.startswith("."):
            continue
        name = path.name.removesuffix(".py")
        if name in {"app", "treadle", *sys.stdlib_module_names} or name in taken:
            msg = (
                f"layers/project/python/{path.name} would hide another module {name!r}. Give it another name."
            )
            raise BuildError(msg)
        if path.is_dir():
            shutil.copytree(path, into / path.name, ignore=ignored)
        else:
            shutil.copy(path, into / path.name)


def main() -> int:
    """Entry point; 1 with a message where the layer cannot be built."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifacts", type=Path, help="the layer's folder")
    parser.add_argument("--started-in", default="", help="the folder that SAM was started in")
    parser.add_argument("--runtime", help="such as python3.13; without it, the layer is for this machine")
    parser.add_argument("--architecture", choices=MACHINES, default="arm64")
    options = parser.parse_args()
    try:
        target = Target(options.runtime, options.architecture) if options.runtime else None
        build(options.artifacts, target, options.started_in)
    except BuildError as error:
        sys.stderr.write(f"\nlayers/project: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
