"""`make peers`: runs the suites, compares each item's result with `items.toml`, and prints the counts."""

import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.peers import clock, daemon, definitions, modules, words

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
SUITES = ROOT / ".tools" / "dagster-suites"
SOURCES = (
    "treadle",
    "treadle.testing",
)


def main() -> int:
    table = tomllib.loads((FOLDER / "items.toml").read_text())
    daemon.use_location()
    scaffold = {**definitions.SCAFFOLD, **clock.SCAFFOLD, **daemon.SCAFFOLD, **words.SCAFFOLD}
    suites = modules.Suites(SUITES, table["left_out"])
    modules.install(scaffold, SOURCES, suites)
    code = pytest.main([*sys.argv[1:]])
    for k, v in suites.broken.items():
        ("BROKEN", k, vars(v)["reason"][:150])
    return code
main()
