"""The end-to-end tests are shared by two processes: which module is in which group."""

import pytest

from tests.e2e.conftest import WITH_FURTHER_STACKS, WITH_SENSORS_OF_RUNS, Groups
from tools.project import ROOT

MODULES = {path.stem: path.read_text() for path in (ROOT / "tests" / "e2e").glob("test_*.py")}
DEPLOYS = ("deploy_beside(", "deploy_engine(", "(following: Deployed", "stack.build(")


def test_modules_that_deploy_further_stacks_are_known() -> None:
    assert {name for name, text in MODULES.items() if any(each in text for each in DEPLOYS)} | {
        "test_project_layer"  # By the tools of a project of its own.
    } == {*WITH_FURTHER_STACKS, *WITH_SENSORS_OF_RUNS}
    assert len(set(WITH_FURTHER_STACKS)) == len(WITH_FURTHER_STACKS)


@pytest.mark.parametrize("case", ["test_x", "test_x[a::b]"])
def test_group_goes_by_the_module(case: str) -> None:
    groups = object.__new__(Groups)

    assert groups._split_scope(f"tests/e2e/test_moved_job.py::{case}") == "test_moved_job"
    assert groups._split_scope(f"tests/e2e/test_objects.py::{case}") == "one stack"
