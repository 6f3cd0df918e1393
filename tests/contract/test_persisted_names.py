"""The names under which attributes are stored: a deployed table has items with them, whatever the code calls them."""

import json
from dataclasses import fields
from typing import Any

import pytest

from tools.project import ROOT
from treadle.adapters.dynamodb import models, runs, ticks
from treadle.adapters.dynamodb.fields import Field
from treadle.model.runs import Run
from treadle.model.ticks import Tick, TickBase

STORED = json.loads((ROOT / "tests/contract/persisted_names.json").read_text())


def test_attributes_keep_their_stored_names() -> None:
    """Add what is new to persisted_names.json; never rename or drop a name there: give the attribute `attr_name`."""
    found = {
        name: sorted(attribute.attr_name for attribute in model.get_attributes().values())
        for name, model in vars(models).items()
        if isinstance(model, type)
        and issubclass(model, models.StoredModel)
        and model is not models.StoredModel
    }

    assert found == STORED


@pytest.mark.parametrize(
    ("record", "table", "apart"),
    [
        (TickBase, ticks._COMMON, ()),
        (
            Tick,
            ticks._FIELDS,
            (
                *("error", "requests", "existing_keys", "rejected", "asset_events", "slicing"),
                "dynamic_partitions_request_results",
            ),
        ),
        (Run, runs._FIELDS, ("granted", "claim", "pending_start", "revision")),
    ],
)
def test_a_table_has_every_field_of_its_record(
    record: Any, table: tuple[Field, ...], apart: tuple[str, ...]
) -> None:
    """A field that is missing would not be stored, and would be read as its default."""
    assert sorted([*(field.name for field in table), *apart]) == sorted(each.name for each in fields(record))
