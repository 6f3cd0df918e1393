"""docs/decisions: one page per decision, numbered without a gap, and an index of all."""

import re
from itertools import count

import pytest

from tools import decisions

ENTRIES = decisions.entries()
FILES = {entry.file for entry in ENTRIES}


def text_of(entry: decisions.Entry) -> str:
    return (decisions.FOLDER / entry.file).read_text()


def test_numbers_have_no_gap_and_agree_with_the_file_names() -> None:
    for number, entry in zip(count(1), ENTRIES, strict=False):
        assert entry.file.startswith(f"{number:04}-")
        assert entry.title.startswith(f"{number}. ")


def test_index_lists_every_decision() -> None:
    assert decisions.INDEX.read_text() == decisions.render(), "run: python -m tools.decisions"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry.file[:4]))
def test_decision_has_context_decision_and_how_to_undo_it(entry: decisions.Entry) -> None:
    headings = re.findall(r"^## (.*)$", text_of(entry), flags=re.MULTILINE)

    assert [each for each in headings if each not in ("Options", "Trade-offs")] == [
        "Context",
        "Decision",
        "How to undo it",
    ]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry.file[:4]))
def test_status_is_accepted_or_proposed_or_names_the_successor(entry: decisions.Entry) -> None:
    found = re.fullmatch(
        r"Accepted|Proposed|(?:Superseded|Accepted; amended) by \[\d+\. .*\]\((?P<successor>\S+)\)",
        entry.status,
    )

    assert found is not None
    assert found["successor"] is None or found["successor"] in FILES - {entry.file}
