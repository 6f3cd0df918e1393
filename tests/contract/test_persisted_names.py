"""The names under which attributes are stored: a deployed table has items with them, whatever the code calls them."""

import json

from pynamodb.models import Model

from tools.project import ROOT
from treadle.adapters.dynamodb import models

STORED = json.loads((ROOT / "tests/contract/persisted_names.json").read_text())


def test_attributes_keep_their_stored_names() -> None:
    """Add what is new to persisted_names.json; never rename or drop a name there: give the attribute `attr_name`."""
    found = {
        name: sorted(attribute.attr_name for attribute in model.get_attributes().values())
        for name, model in vars(models).items()
        if isinstance(model, type) and issubclass(model, Model) and model is not Model
    }

    assert found == STORED
