"""Each mutant's original text exists; `make mutants` shows that its tests kill it."""

import pytest

from tests.faults.mutants import LIBRARY, MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_original_text_occurs_exactly_once(mutant: Mutant) -> None:
    text = (ROOT / LIBRARY / mutant.module).read_text()

    assert text.count(mutant.old) == 1
