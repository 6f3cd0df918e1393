"""Each test that is to kill a mutant exists, with its parameters; `make mutants` shows that it does."""

import subprocess
import sys

from tests.faults.mutants import MUTANTS, ROOT


def test_every_test_of_a_mutant_can_be_collected() -> None:
    tests = list({test: None for mutant in MUTANTS for test in mutant.tests})
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-n", "0", "-q", "-p", "no:cacheprovider"]

    answer = subprocess.run([*collect, *tests], cwd=ROOT, capture_output=True, text=True, check=False)

    assert answer.returncode == 0, answer.stdout[-2_000:] + answer.stderr[-2_000:]
