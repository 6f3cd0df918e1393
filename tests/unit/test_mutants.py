"""Each mutant's original text and tests exist; `make mutants` shows that the tests kill it."""

import pytest

from tests.faults.mutants import LIBRARY, MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_original_text_occurs_exactly_once(mutant: Mutant) -> None:
    text = (ROOT / LIBRARY / mutant.module).read_text()

    assert text.count(mutant.old) == 1


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_tests_of_a_mutant_exist(mutant: Mutant) -> None:
    for test in mutant.tests:
        path, *names = test.partition("[")[0].split("::")
        text = (ROOT / path).read_text()
        assert all(f"def {name}(" in text or f"class {name}" in text for name in names)
