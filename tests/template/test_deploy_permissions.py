"""docs/reference/deploy-permissions.md: each policy allows what CloudFormation needs for its template's resources."""

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.sam import PYTHON, translated
from tests.template.engine_model import PATH as ENGINE
from tests.template.engine_model import template_at
from tests.template.model import PATH as PROJECT
from tests.template.model import ROOT

pytestmark = pytest.mark.treadle

PAGE = (ROOT / "docs/reference/deploy-permissions.md").read_text()
POLICIES = [
    json.loads(each) for each in re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
]
TEMPLATES = {"engine": (ENGINE, POLICIES[0]), "project": (PROJECT, POLICIES[1])}

UNUSED = (
    # Of features that the templates do not use, or only on request: the page says so of keys and of a VPC.
    *("ec2:*", "elasticfilesystem:*", "firehose:*", "kinesis:*", "kms:*", "s3files:*", "s3tables:*"),
    *("iam:CreateServiceLinkedRole", "iam:*GroupPolicy", "iam:*UserPolicy"),
)


@pytest.fixture(scope="module")
def handlers() -> dict[str, Mapping[str, Any]]:
    """What CloudFormation's schemas say of each resource type's handlers; cfn-lint brings them."""
    linter = find_spec("cfnlint")  # Its import takes seconds.
    assert linter is not None
    assert linter.origin is not None
    schemas = (Path(linter.origin).parent / "data/schemas/resources").glob("*.json")
    found = (json.loads(each.read_text()) for each in schemas)
    return {each["typeName"]: each["handlers"] for each in found if "handlers" in each}


@pytest.fixture(scope="module")
def types() -> dict[str, set[str]]:
    """The resource types of each template, after SAM's transform."""
    if not PYTHON.exists():
        pytest.skip("make setup brings SAM")
    made = translated([template_at(path).data for path, _ in TEMPLATES.values()])
    return {
        name: {each["Type"] for each in found.values()} for name, found in zip(TEMPLATES, made, strict=True)
    }


def needed(types: set[str], handlers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the actions by which CloudFormation creates, reads, updates and deletes resources of these types."""
    for each in types:
        for operation in ("create", "read", "update", "delete"):
            for action in handlers[each].get(operation, {}).get("permissions", ()):
                if not matches(action, UNUSED):
                    yield action


def matches(action: str, patterns: Any) -> bool:
    return any(fnmatchcase(action, pattern) for pattern in patterns)


def allowed(policy: Mapping[str, Any]) -> set[str]:
    """Return the actions of a policy."""
    actions = [each["Action"] for each in policy["Statement"]]
    return {name for each in actions for name in ([each] if isinstance(each, str) else each)}


@pytest.mark.parametrize("name", TEMPLATES)
def test_policy_allows_what_each_resource_of_its_template_needs(
    name: str, types: dict[str, set[str]], handlers: dict[str, Mapping[str, Any]]
) -> None:
    actions = set(needed(types[name], handlers))

    assert len(actions) > 100
    assert sorted(each for each in actions if not matches(each, allowed(TEMPLATES[name][1]))) == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_policy_allows_nothing_of_another_service(
    name: str, types: dict[str, set[str]], handlers: dict[str, Mapping[str, Any]]
) -> None:
    services = {each.partition(":")[0] for each in needed(types[name], handlers)}
    given = {each.partition(":")[0] for each in allowed(TEMPLATES[name][1])}

    assert given == services | {"cloudformation"}
