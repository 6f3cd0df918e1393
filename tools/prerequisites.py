"""Checks what `make setup` cannot install itself: Python, Java, npm; and whether there is a browser.

Run by any `python3` on the path, before an environment exists:
so standard library only, and syntax that Python 3.7 still parses.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, List, Optional  # noqa: UP035 - see the module's docstring

OLDEST_PYTHON = (3, 11)
OLDEST_JAVA = 17

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "~/.cache/ms-playwright/chromium-*/chrome-linux*/chrome",
    "~/Library/Caches/ms-playwright/chromium-*/chrome-mac*/Chromium.app/Contents/MacOS/Chromium",
    str(Path(__file__).resolve().parent.parent / ".tools/browser/*/chrome*/*headless*shell"),
)
"""Where to search besides the path: macOS's folders, `playwright install chromium`'s, `make setup`'s."""


def check_python() -> Optional[str]:  # noqa: UP045 - see the module's docstring
    """Return the problem of the running interpreter, or None."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        oldest, found = (".".join(map(str, version[:2])) for version in (OLDEST_PYTHON, sys.version_info))
        return (
            f"Python {oldest} or newer is needed for everything here, and {sys.executable} is {found}.\n"
            "  Install one and name it: make PYTHON3=python3.13 ..."
        )
    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        return (
            f"{sys.executable} cannot make virtual environments: its venv module is not installed.\n"
            "  On Debian and Ubuntu: apt-get install python3-venv"
        )
    return None


def check_java() -> Optional[str]:  # noqa: UP045
    """Return the problem of `java`, or None."""
    needed = f"Java {OLDEST_JAVA} or newer is needed by DynamoDB Local (tests and the races among them)"
    advice = (
        "\n  On Debian and Ubuntu: apt-get install openjdk-17-jre-headless; on macOS: brew install openjdk"
    )
    if shutil.which("java") is None:
        return needed + ", and there is no `java` on the path." + advice
    answer = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    if found is None:
        return needed + ", and `java -version` names none." + advice
    if int(found.group(1)) < OLDEST_JAVA:
        return needed + f", and `java` is {found.group(1)}." + advice
    return None


def check_npm() -> Optional[str]:  # noqa: UP045
    """Return the problem of `npm`, or None."""
    if shutil.which("npm") is None:
        return (
            "npm is needed to download DynamoDB Local and the tools that check the console's page, and there is none on the path.\n"
            "  On Debian and Ubuntu: apt-get install npm; on macOS: brew install node"
        )
    return None


def find_browser() -> Optional[str]:  # noqa: UP045
    """Return the browser for the console's tests: TREADLE_CHROMIUM if set, else any Chromium; or None."""
    named = os.environ.get("TREADLE_CHROMIUM")
    if named:
        return shutil.which(named)
    found = [shutil.which(name) for name in BROWSERS]
    for place in PLACES:
        path = Path(place).expanduser()
        pattern = path.relative_to(path.anchor)
        found += sorted((str(each) for each in Path(path.anchor).glob(str(pattern))), reverse=True)
    return next((each for each in found if each), None)


def check_browser() -> Optional[str]:  # noqa: UP045
    """Return that no browser is found, or None."""
    if find_browser() is not None:
        return None
    return (
        "Chromium or Chrome is needed by the tests of the console's page, and none is found, nor could be downloaded.\n"
        "  On Debian and Ubuntu: apt-get install chromium; elsewhere: .venv/bin/playwright install chromium.\n"
        "  One that is installed already is named by TREADLE_CHROMIUM=/path/to/chrome. Without one these tests are"
        " skipped."
    )


CHECKS: Dict[str, Callable[[], Optional[str]]] = {  # noqa: UP006, UP045
    "python": check_python,
    "java": check_java,
    "npm": check_npm,
    "browser": check_browser,
}

NEEDED = ("python", "java", "npm")
"""Checked if nothing is named: nothing else works without them."""


def main(arguments: Optional[List[str]] = None) -> int:  # noqa: UP006, UP045
    """Check the named prerequisites, or the required ones; return 1 if anything is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="any of: {}".format(", ".join(CHECKS)))
    parser.add_argument("--quiet", action="store_true", help="say nothing when all is well")
    options = parser.parse_args(arguments)
    found = {name: CHECKS[name]() for name in options.names or NEEDED}
    problems = {name: problem for name, problem in found.items() if problem}
    for problem in problems.values():
        print("prerequisites: " + problem, file=sys.stderr)
    if not problems and not options.quiet:
        print("prerequisites: all there")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
