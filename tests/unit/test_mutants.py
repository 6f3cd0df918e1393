"""Each mutant finds the line that it weakens, and its tests; that one turns red is shown by `make mutants`."""

import pytest

from tests.faults.mutants import LIBRARY, MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_weakens_is_there_once(mutant: Mutant) -> None:
    text = (ROOT / LIBRARY / mutant.module).read_text()

    assert text.count(mutant.old) == 1


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_must_turn_red_is_there(mutant: Mutant) -> None:
    for test in mutant.tests:
        path, *names = test.partition("[")[0].split("::")
        text = (ROOT / path).read_text()
        assert all(f"def {name}(" in text or f"class {name}" in text for name in names)
